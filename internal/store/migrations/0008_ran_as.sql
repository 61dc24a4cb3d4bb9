-- The UUID by which a server's Talos was last seen to run.
ALTER TABLE servers ADD COLUMN ran_as TEXT NOT NULL DEFAULT '';
UPDATE servers SET ran_as = uuid WHERE state IN ('ready', 'configured', 'unhealthy');
