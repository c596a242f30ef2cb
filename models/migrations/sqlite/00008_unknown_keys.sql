-- +goose Up
-- How many requests came with no known key, by address and day (UTC, days since 1970). Such requests have no row in the log.
CREATE TABLE unknown_key_counts (
    project_id INTEGER NOT NULL,
    day        INTEGER NOT NULL,
    address    TEXT NOT NULL, -- an IPv4 address, or of an IPv6 address its /64; empty for all that are counted together
    requests   INTEGER NOT NULL,
    last_at    INTEGER NOT NULL, -- milliseconds since 1970
    batch      INTEGER NOT NULL, -- that was added last
    PRIMARY KEY (project_id, day, address)
) WITHOUT ROWID;
