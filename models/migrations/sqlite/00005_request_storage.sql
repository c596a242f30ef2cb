-- +goose Up
-- The log of requests and what is counted of it: docs/design.md, "How requests are stored on SQLite".

-- What was logged so far. The program moves these rows to chunks when it starts, and drops the table then.
ALTER TABLE request_logs RENAME TO request_logs_before_chunks;
DROP INDEX request_logs_project;
DROP INDEX request_logs_key;

-- Some hundred rows of one project each, as bytes. The stretches of ids of a project's chunks do not overlap.
CREATE TABLE request_chunks (
    id         INTEGER PRIMARY KEY,
    project_id INTEGER NOT NULL,
    first_id   INTEGER NOT NULL, -- of the rows in it
    last_id    INTEGER NOT NULL,
    count      INTEGER NOT NULL,
    bitmap     INTEGER NOT NULL, -- a bit for each code and category in it
    data       BLOB NOT NULL
);
CREATE UNIQUE INDEX request_chunks_range ON request_chunks (project_id, first_id, last_id, bitmap);

-- What each key did, by batch as it was written. The program holds these in memory, too, until they are in a run.
CREATE TABLE key_journal (
    seq  INTEGER PRIMARY KEY,
    data BLOB NOT NULL
);

-- What each key did, in key order: a run holds many batches, and small runs are merged into larger ones.
CREATE TABLE key_runs (
    id       INTEGER PRIMARY KEY,
    state    TEXT NOT NULL CHECK (state IN ('writing', 'live', 'dead')),
    level    INTEGER NOT NULL, -- how often merged
    first_id INTEGER NOT NULL, -- of the requests in it
    last_id  INTEGER NOT NULL,
    requests BOOLEAN NOT NULL, -- it still names single requests
    folded   BOOLEAN NOT NULL  -- its counts are one total for each key
);

CREATE TABLE key_blocks (
    id        INTEGER PRIMARY KEY,
    run_id    INTEGER NOT NULL,
    kind      INTEGER NOT NULL, -- 0: counts, 1: requests
    first_key INTEGER NOT NULL,
    first_at  INTEGER NOT NULL, -- minute of the first count, or id of the first request
    data      BLOB NOT NULL
);
CREATE INDEX key_blocks_place ON key_blocks (run_id, kind, first_key, first_at);

-- Numbers the pairs of version and code, which occur again and again.
CREATE TABLE key_outcomes (
    id      INTEGER PRIMARY KEY,
    version INTEGER NOT NULL,
    code    TEXT NOT NULL
);

-- When each key was used last: a page holds the seconds since 1970 of many keys, 4 bytes each.
CREATE TABLE key_last_used (
    page    INTEGER PRIMARY KEY,
    seconds BLOB NOT NULL
);

CREATE TABLE key_journal_state (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    flushed INTEGER NOT NULL -- batches up to this one are in runs
);
INSERT INTO key_journal_state (id, flushed) VALUES (1, 0);
