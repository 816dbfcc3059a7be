-- Meetings, their files and packages, people, events.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE meetings (
    -- The id in lower case: two ids that differ in case alone name the same meeting.
    meeting_key   TEXT PRIMARY KEY,
    id            TEXT NOT NULL,
    title         TEXT NOT NULL,
    intro         TEXT,
    time          TEXT NOT NULL,
    status        TEXT NOT NULL CHECK (status IN ('not_started', 'in_progress', 'ended')),
    created_at    REAL NOT NULL,
    -- Grows with every change that a package shows.
    revision      INTEGER NOT NULL DEFAULT 1,
    -- The number of the newest package there ever was.
    last_version  INTEGER NOT NULL DEFAULT 0,
    -- While in progress: when it was started, and whether the change token told of it.
    started_at    REAL,
    announced     INTEGER NOT NULL DEFAULT 0,
    -- While nodes are waited for: since when.
    waiting_since REAL
) STRICT, WITHOUT ROWID;

CREATE TABLE agenda_items (
    item_id          INTEGER PRIMARY KEY,
    meeting_key      TEXT NOT NULL REFERENCES meetings ON DELETE CASCADE,
    position         INTEGER NOT NULL,
    title            TEXT NOT NULL,
    reporter         TEXT,
    duration_minutes INTEGER,
    UNIQUE (meeting_key, position)
) STRICT;

CREATE TABLE files (
    -- The `temp_id` of the wire, and the name of the file on disk.
    file_id     TEXT PRIMARY KEY,
    name        TEXT NOT NULL,
    extension   TEXT NOT NULL,
    size_bytes  INTEGER NOT NULL,
    hash        TEXT NOT NULL,
    total_pages INTEGER,
    -- When it was uploaded or last taken from an agenda item: what belongs to none for a day is removed.
    loose_since REAL NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE agenda_files (
    item_id INTEGER NOT NULL REFERENCES agenda_items ON DELETE CASCADE,
    file_id TEXT NOT NULL REFERENCES files,
    -- Order within the item.
    place   INTEGER NOT NULL,
    -- The name to show.
    name    TEXT NOT NULL,
    PRIMARY KEY (item_id, file_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX agenda_files_by_file ON agenda_files (file_id);

CREATE TABLE packages (
    meeting_key TEXT NOT NULL REFERENCES meetings ON DELETE CASCADE,
    version     INTEGER NOT NULL,
    -- The meeting's revision that it shows.
    revision    INTEGER NOT NULL,
    -- BLAKE3 of what it was built from: equal inputs need no new version.
    recipe      TEXT NOT NULL,
    hash        TEXT NOT NULL,
    size_bytes  INTEGER NOT NULL,
    -- JSON of the list of blocks.
    blocks      TEXT NOT NULL,
    -- JSON of the agenda as tablets are told it.
    agenda      TEXT NOT NULL,
    built_at    REAL NOT NULL,
    PRIMARY KEY (meeting_key, version)
) STRICT;

CREATE TABLE users (
    name          TEXT PRIMARY KEY,
    -- PHC string.
    password_hash TEXT NOT NULL,
    role          TEXT NOT NULL CHECK (role IN ('admin')),
    created_at    REAL NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE sessions (
    -- BLAKE3 of the bearer token, which is kept nowhere.
    token_hash TEXT PRIMARY KEY,
    user_name  TEXT NOT NULL REFERENCES users ON DELETE CASCADE,
    expires_at REAL NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
    -- Without gaps: given as the greatest one plus one, in the transaction that inserts.
    id         INTEGER PRIMARY KEY,
    time       REAL NOT NULL,
    kind       TEXT NOT NULL,
    meeting_id TEXT,
    node_id    TEXT,
    reason     TEXT NOT NULL
) STRICT;
