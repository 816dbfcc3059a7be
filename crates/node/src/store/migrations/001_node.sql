-- A meeting has one package; its key is its id without regard to case.
CREATE TABLE packages (
    meeting_key  TEXT PRIMARY KEY,
    meeting_id   TEXT NOT NULL,
    title        TEXT NOT NULL,
    version      INTEGER NOT NULL,          -- 0: from an older master, which numbers nothing
    hash         TEXT NOT NULL,
    size_bytes   INTEGER NOT NULL,
    modified_ns  INTEGER NOT NULL,          -- of the file, when it was last found right
    changed_ns   INTEGER NOT NULL,          -- its inode's change time; 0 where there is none
    verified_at  REAL NOT NULL,
    synced_at    REAL NOT NULL,
    last_served  REAL NOT NULL DEFAULT 0,
    downloads    INTEGER NOT NULL DEFAULT 0,
    standing     TEXT NOT NULL CHECK (standing IN ('active', 'ended', 'unknown')),
    change_token TEXT                       -- of an older master, for which it was last found right
) STRICT;

-- Temporary files that may be continued; any other one is torn.
CREATE TABLE fetches (
    meeting_key TEXT PRIMARY KEY,
    meeting_id  TEXT NOT NULL,
    tag         TEXT NOT NULL
) STRICT;

CREATE TABLE events (
    id         INTEGER PRIMARY KEY,
    time       REAL NOT NULL,
    kind       TEXT NOT NULL,
    meeting_id TEXT,
    node_id    TEXT,
    reason     TEXT NOT NULL
) STRICT;

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;
