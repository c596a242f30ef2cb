-- +goose Up
-- Stretches of a project's log that never overlap: the chunks that begin in one are a group, and its filter tells which values
-- none of their rows has. The newest chunks are in no group.
CREATE TABLE request_groups (
    id         INTEGER PRIMARY KEY,
    project_id INTEGER NOT NULL,
    first_id   INTEGER NOT NULL,
    end_id     INTEGER NOT NULL, -- the first one beyond
    shards     INTEGER NOT NULL  -- of the filter
);
CREATE UNIQUE INDEX request_groups_range ON request_groups (project_id, first_id);

-- Bloom filters in shards: a value is in one of them, so that looking for it reads little.
CREATE TABLE request_filters (
    group_id INTEGER NOT NULL,
    shard    INTEGER NOT NULL,
    bits     BLOB NOT NULL,
    PRIMARY KEY (group_id, shard)
) WITHOUT ROWID;
