-- Grows with every change of a server that its machine config may be made of: who has made one can see that it still
-- is current. The other records have one counter together.
ALTER TABLE servers ADD COLUMN revision BIGINT NOT NULL DEFAULT 0;
