-- The patch of a server has moved into its layer: see moveServerPatches.
ALTER TABLE servers DROP COLUMN patch;
