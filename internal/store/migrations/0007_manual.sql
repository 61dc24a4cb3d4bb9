-- The SSH host keys of a rescue system that an operator gave, for servers that were added by hand.
ALTER TABLE servers ADD COLUMN host_key TEXT NOT NULL DEFAULT '';
