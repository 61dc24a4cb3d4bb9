-- One text for SQLite and Postgres. Times are Unix microseconds UTC, 0 = never. Columns of type BYTEA hold sealed
-- values (SQLite keeps blobs as they are in a column of any type). References that may be empty are NULL.

CREATE TABLE accounts (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    provider   TEXT NOT NULL,
    token      BYTEA NOT NULL,
    login      BYTEA NOT NULL,
    password   BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    checked_at BIGINT NOT NULL DEFAULT 0,
    synced_at  BIGINT NOT NULL DEFAULT 0,
    problem    TEXT NOT NULL DEFAULT ''
);

CREATE TABLE vswitches (
    id          TEXT PRIMARY KEY,
    account_id  TEXT NOT NULL REFERENCES accounts (id),
    provider_id TEXT NOT NULL,
    name        TEXT NOT NULL,
    vlan        BIGINT NOT NULL,
    missing_at  BIGINT NOT NULL DEFAULT 0,
    UNIQUE (account_id, provider_id)
);

CREATE TABLE schematics (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    body       TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

-- Contents of configs by their sha256; never changed, never deleted while a revision names them.
CREATE TABLE config_contents (
    revision TEXT PRIMARY KEY,
    body     BYTEA NOT NULL
);

CREATE TABLE configs (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    revision   TEXT NOT NULL REFERENCES config_contents (revision),
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

-- Not a foreign key on configs: what a server was once configured with stays readable.
CREATE TABLE config_revisions (
    config_id TEXT NOT NULL,
    position  BIGINT NOT NULL,
    revision  TEXT NOT NULL REFERENCES config_contents (revision),
    actor     TEXT NOT NULL,
    saved_at  BIGINT NOT NULL,
    PRIMARY KEY (config_id, position)
);

CREATE TABLE clusters (
    id                  TEXT PRIMARY KEY,
    name                TEXT NOT NULL UNIQUE,
    endpoint            TEXT NOT NULL,
    talos_version       TEXT NOT NULL,
    kubernetes_version  TEXT NOT NULL,
    config_id           TEXT REFERENCES configs (id),
    schematic_id        TEXT REFERENCES schematics (id),
    vswitch_id          TEXT REFERENCES vswitches (id),
    secrets             BYTEA NOT NULL,
    created_at          BIGINT NOT NULL,
    bootstrap_server_id TEXT NOT NULL DEFAULT '',
    bootstrapped_at     BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE servers (
    id             TEXT PRIMARY KEY,
    account_id     TEXT NOT NULL REFERENCES accounts (id),
    provider       TEXT NOT NULL,
    provider_id    TEXT NOT NULL,
    name           TEXT NOT NULL,
    product        TEXT NOT NULL,
    location       TEXT NOT NULL,
    architecture   TEXT NOT NULL,
    status         TEXT NOT NULL,
    power          TEXT NOT NULL,
    locked         BOOLEAN NOT NULL,
    ipv4           TEXT NOT NULL,
    ipv6           TEXT NOT NULL,
    ipv6_net       TEXT NOT NULL,
    vswitch_id     TEXT REFERENCES vswitches (id),
    cancelled      BOOLEAN NOT NULL,
    created_at     BIGINT NOT NULL,
    seen_at        BIGINT NOT NULL,
    missing_at     BIGINT NOT NULL DEFAULT 0,
    -- ours, never touched by a sync:
    state          TEXT NOT NULL,
    uuid           TEXT NOT NULL DEFAULT '',
    facts          TEXT NOT NULL DEFAULT '',
    cluster_id     TEXT REFERENCES clusters (id),
    role           TEXT NOT NULL DEFAULT '',
    config_id      TEXT REFERENCES configs (id),
    hostname       TEXT NOT NULL DEFAULT '',
    private_ip     TEXT NOT NULL DEFAULT '',
    install_disk   TEXT NOT NULL DEFAULT '',
    ephemeral_disk TEXT NOT NULL DEFAULT '',
    patch          BYTEA,
    schematic_id   TEXT REFERENCES schematics (id),
    UNIQUE (account_id, provider_id)
);

CREATE INDEX servers_name ON servers (name);
CREATE INDEX servers_uuid ON servers (uuid) WHERE uuid <> '';
CREATE INDEX servers_cluster ON servers (cluster_id) WHERE cluster_id IS NOT NULL;
CREATE UNIQUE INDEX servers_hostname ON servers (cluster_id, hostname) WHERE cluster_id IS NOT NULL AND hostname <> '';
CREATE UNIQUE INDEX servers_private_ip ON servers (cluster_id, private_ip) WHERE cluster_id IS NOT NULL AND private_ip <> '';

CREATE TABLE rules (
    id         TEXT PRIMARY KEY,
    cluster_id TEXT REFERENCES clusters (id),
    pattern    TEXT NOT NULL,
    labels     TEXT NOT NULL,
    taints     TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE events (
    id        TEXT PRIMARY KEY,
    at        BIGINT NOT NULL,
    actor     TEXT NOT NULL,
    verb      TEXT NOT NULL,
    subject   TEXT NOT NULL,
    target_id TEXT NOT NULL,
    text      TEXT NOT NULL
);

CREATE INDEX events_at ON events (at, id);
CREATE INDEX events_target ON events (target_id, at, id);

CREATE TABLE tokens (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    hash       TEXT NOT NULL UNIQUE,
    actor      TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    used_at    BIGINT NOT NULL DEFAULT 0,
    expires_at BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE ssh_keys (
    name       TEXT PRIMARY KEY,
    public     TEXT NOT NULL,
    private    BYTEA NOT NULL,
    created_at BIGINT NOT NULL
);

-- One-time codes of installs: who may fetch which config, until when.
CREATE TABLE arms (
    id           TEXT PRIMARY KEY,
    server_id    TEXT NOT NULL,
    operation_id TEXT NOT NULL,
    code_hash    TEXT NOT NULL,
    uuid         TEXT NOT NULL,
    armed_at     BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    served_at    BIGINT NOT NULL DEFAULT 0,
    attempts     BIGINT NOT NULL DEFAULT 0,
    no_code      BOOLEAN NOT NULL DEFAULT FALSE,
    refusal      TEXT NOT NULL DEFAULT ''
);

-- At most one code opens a server's config.
CREATE UNIQUE INDEX arms_server ON arms (server_id);
CREATE UNIQUE INDEX arms_code ON arms (code_hash) WHERE code_hash <> '';
CREATE INDEX arms_uuid ON arms (uuid);

CREATE TABLE budgets (
    account_id   TEXT NOT NULL,
    endpoints    TEXT NOT NULL,
    window_start BIGINT NOT NULL DEFAULT 0,
    used         BIGINT NOT NULL DEFAULT 0,
    full_at      BIGINT NOT NULL DEFAULT 0,
    blocked_till BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (account_id, endpoints)
);

CREATE TABLE operations (
    id          TEXT PRIMARY KEY,
    kind        TEXT NOT NULL,
    server_id   TEXT NOT NULL DEFAULT '',
    cluster_id  TEXT NOT NULL DEFAULT '',
    parent_id   TEXT NOT NULL DEFAULT '',
    actor       TEXT NOT NULL DEFAULT '',
    state       TEXT NOT NULL,
    step        TEXT NOT NULL DEFAULT '',
    waiting_for TEXT NOT NULL DEFAULT '',
    wait_until  BIGINT NOT NULL DEFAULT 0,
    question    TEXT NOT NULL DEFAULT '',
    answer      TEXT NOT NULL DEFAULT '',
    error       TEXT NOT NULL DEFAULT '',
    hint        TEXT NOT NULL DEFAULT '',
    done        BIGINT NOT NULL DEFAULT 0,
    total       BIGINT NOT NULL DEFAULT 0,
    unit        TEXT NOT NULL DEFAULT '',
    input       BYTEA NOT NULL,
    revision    BIGINT NOT NULL DEFAULT 0,
    holder      TEXT NOT NULL DEFAULT '',
    lease_until BIGINT NOT NULL DEFAULT 0,
    log_seq     BIGINT NOT NULL DEFAULT 0,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL,
    finished_at BIGINT NOT NULL DEFAULT 0
);

-- One active operation has a server for itself; one of each kind has a cluster.
CREATE UNIQUE INDEX operations_active_server ON operations (server_id)
    WHERE server_id <> '' AND state NOT IN ('succeeded', 'failed', 'cancelled');
CREATE UNIQUE INDEX operations_active_cluster ON operations (cluster_id, kind)
    WHERE server_id = '' AND cluster_id <> '' AND state NOT IN ('succeeded', 'failed', 'cancelled');
CREATE INDEX operations_unfinished ON operations (created_at, id)
    WHERE state IN ('pending', 'waiting', 'running');
CREATE INDEX operations_created ON operations (created_at, id);
CREATE INDEX operations_server ON operations (server_id, created_at, id);
CREATE INDEX operations_cluster ON operations (cluster_id, created_at, id);
CREATE INDEX operations_parent ON operations (parent_id, created_at, id) WHERE parent_id <> '';

CREATE TABLE operation_steps (
    operation_id TEXT NOT NULL REFERENCES operations (id),
    name         TEXT NOT NULL,
    position     BIGINT NOT NULL,
    state        TEXT NOT NULL,
    attempts     BIGINT NOT NULL,
    started_at   BIGINT NOT NULL,
    finished_at  BIGINT NOT NULL,
    error        TEXT NOT NULL,
    PRIMARY KEY (operation_id, name)
);

CREATE TABLE operation_log (
    operation_id TEXT NOT NULL REFERENCES operations (id),
    seq          BIGINT NOT NULL,
    at           BIGINT NOT NULL,
    step         TEXT NOT NULL,
    level        TEXT NOT NULL,
    text         TEXT NOT NULL,
    PRIMARY KEY (operation_id, seq)
);

CREATE TABLE operation_values (
    operation_id TEXT NOT NULL REFERENCES operations (id),
    name         TEXT NOT NULL,
    value        BYTEA NOT NULL,
    PRIMARY KEY (operation_id, name)
);
