-- Nodes, what they once reported, and the codes by which they join.

CREATE TABLE nodes (
    id          TEXT PRIMARY KEY,
    name        TEXT NOT NULL DEFAULT '',
    description TEXT NOT NULL DEFAULT '',
    weight      INTEGER NOT NULL DEFAULT 1 CHECK (weight BETWEEN 1 AND 1000),
    state       TEXT NOT NULL DEFAULT 'enabled' CHECK (state IN ('enabled', 'draining', 'disabled')),
    -- 64 hexadecimal digits, once it has joined.
    secret      TEXT,
    joined_at   REAL,
    -- As last advertised; empty when never.
    address     TEXT NOT NULL DEFAULT '',
    -- Last sign of life; 0 when never.
    last_seen   REAL NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- Python nodes cannot say which version they hold: what they fetched completely.
CREATE TABLE node_fetches (
    node_id     TEXT NOT NULL REFERENCES nodes ON DELETE CASCADE,
    meeting_key TEXT NOT NULL,
    version     INTEGER NOT NULL,
    hash        TEXT NOT NULL,
    fetched_at  REAL NOT NULL,
    PRIMARY KEY (node_id, meeting_key)
) STRICT, WITHOUT ROWID;

CREATE TABLE node_history (
    node_id               TEXT NOT NULL REFERENCES nodes ON DELETE CASCADE,
    -- Length of a step in seconds: 60 or 900.
    step                  INTEGER NOT NULL,
    -- Unix seconds at the beginning of the step.
    time                  INTEGER NOT NULL,
    -- How many heartbeats the averages stand for.
    samples               INTEGER NOT NULL,
    processor_percent     REAL NOT NULL,
    memory_used_bytes     REAL NOT NULL,
    storage_used_bytes    REAL NOT NULL,
    sent_bytes_per_second REAL NOT NULL,
    downloads_per_second  REAL NOT NULL,
    PRIMARY KEY (node_id, step, time)
) STRICT, WITHOUT ROWID;

CREATE TABLE join_codes (
    code_id    TEXT PRIMARY KEY,
    -- 64 hexadecimal digits: both sides of a join prove that they know it.
    token      TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    uses       INTEGER NOT NULL,
    used       INTEGER NOT NULL DEFAULT 0,
    revoked    INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
