-- The private network of a cluster, for patches: ${private_prefix}, ${private_mtu}.
ALTER TABLE clusters ADD COLUMN private_network TEXT NOT NULL DEFAULT '';
ALTER TABLE clusters ADD COLUMN private_mtu BIGINT NOT NULL DEFAULT 0;
