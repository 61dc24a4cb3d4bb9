-- What an install may overwrite; the UUID that META gives to a machine; what was installed last (JSON).
ALTER TABLE clusters ADD COLUMN disk_policy TEXT NOT NULL DEFAULT '';
ALTER TABLE servers ADD COLUMN disk_policy TEXT NOT NULL DEFAULT '';
ALTER TABLE servers ADD COLUMN uuid_override TEXT NOT NULL DEFAULT '';
ALTER TABLE servers ADD COLUMN installed TEXT NOT NULL DEFAULT '';
CREATE INDEX servers_uuid_override ON servers (uuid_override) WHERE uuid_override <> '';
