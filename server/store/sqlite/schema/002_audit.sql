-- The audit chain (R-15.24) and the history of epochs (R-15.22).

CREATE TABLE audit (
    idx INTEGER PRIMARY KEY CHECK (idx > 0),
    tenant BLOB NOT NULL CHECK (length(tenant) = 16),
    time_ms INTEGER NOT NULL CHECK (time_ms >= 0),
    previous BLOB NOT NULL CHECK (length(previous) = 32),
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    body BLOB NOT NULL CHECK (length(body) BETWEEN 1 AND 8192)
) STRICT;

-- A tenant's own links in order: the index ends in idx by itself.
CREATE INDEX audit_by_tenant ON audit (tenant);

CREATE TABLE epoch (
    counter INTEGER PRIMARY KEY CHECK (counter > 0),
    root BLOB NOT NULL CHECK (length(root) = 32),
    audit_index INTEGER NOT NULL CHECK (audit_index >= 0),
    mac BLOB NOT NULL CHECK (length(mac) = 32)
) STRICT;
