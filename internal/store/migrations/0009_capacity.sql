-- What a machine has, of its facts: for sums over many of them, and to sort by.
ALTER TABLE servers ADD COLUMN cores BIGINT NOT NULL DEFAULT 0;
ALTER TABLE servers ADD COLUMN memory_bytes BIGINT NOT NULL DEFAULT 0;
ALTER TABLE servers ADD COLUMN disk_bytes BIGINT NOT NULL DEFAULT 0;
