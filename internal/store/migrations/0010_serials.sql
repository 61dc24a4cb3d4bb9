-- The serial numbers of a machine's board and disks, of its facts, to be found by how they begin: the bytes of their
-- lower case in hex, so that every collation of both databases sorts them alike.
CREATE TABLE server_serials (
    server_id TEXT NOT NULL REFERENCES servers (id) ON DELETE CASCADE,
    serial    TEXT NOT NULL,
    PRIMARY KEY (serial, server_id)
);

CREATE INDEX server_serials_server ON server_serials (server_id);

-- Whether the UUID of the board, of its facts, is none that tells machines apart.
ALTER TABLE servers ADD COLUMN uuid_bad BOOLEAN NOT NULL DEFAULT FALSE;
