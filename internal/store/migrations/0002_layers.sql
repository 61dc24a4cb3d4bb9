-- Patches in layers: of clusters, of the roles of a cluster, of configs, of servers.

-- What is in effect, and what is kept beside it. Contents are those of config_contents.
CREATE TABLE layers (
    scope      TEXT NOT NULL,
    owner_id   TEXT NOT NULL,
    revision   TEXT REFERENCES config_contents (revision),
    draft      TEXT REFERENCES config_contents (revision),
    draft_base TEXT NOT NULL DEFAULT '',
    saved_at   BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (scope, owner_id)
);

-- Not bound to layers: what a server was once configured with stays readable.
CREATE TABLE layer_revisions (
    scope    TEXT NOT NULL,
    owner_id TEXT NOT NULL,
    position BIGINT NOT NULL,
    revision TEXT NOT NULL REFERENCES config_contents (revision),
    verb     TEXT NOT NULL,
    actor    TEXT NOT NULL,
    why      TEXT NOT NULL DEFAULT '',
    saved_at BIGINT NOT NULL,
    PRIMARY KEY (scope, owner_id, position)
);

INSERT INTO layers (scope, owner_id, revision, saved_at) SELECT 'config', id, revision, updated_at FROM configs;
INSERT INTO layer_revisions (scope, owner_id, position, revision, verb, actor, saved_at)
    SELECT 'config', config_id, position, revision, 'save', actor, saved_at FROM config_revisions;
ALTER TABLE configs DROP COLUMN revision;
ALTER TABLE configs DROP COLUMN updated_at;
DROP TABLE config_revisions;

-- Grow with every change of what they name: who has checked something can see that it still is so.
CREATE TABLE counters (
    name TEXT PRIMARY KEY,
    n    BIGINT NOT NULL
);

ALTER TABLE servers ADD COLUMN draft BOOLEAN NOT NULL DEFAULT FALSE;
