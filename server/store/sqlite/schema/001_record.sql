-- What this file is, and the records. Adding to a table needs a new migration:
-- one that was released never changes.

-- One row: the version of this schema, and an id that tells one store from a
-- copy's original.
CREATE TABLE meta (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    schema_version INTEGER NOT NULL,
    store_id BLOB NOT NULL CHECK (length(store_id) = 16)
) STRICT;

CREATE TABLE record (
    kind INTEGER NOT NULL CHECK (kind > 0),
    key BLOB NOT NULL CHECK (length(key) BETWEEN 1 AND 96),
    version INTEGER NOT NULL CHECK (version > 0),
    mac BLOB NOT NULL CHECK (length(mac) = 32),
    previous_mac BLOB NOT NULL CHECK (length(previous_mac) = 32),
    body BLOB NOT NULL CHECK (length(body) <= 8192),
    PRIMARY KEY (kind, key)
) STRICT, WITHOUT ROWID;
