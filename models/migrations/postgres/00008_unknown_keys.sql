-- +goose Up
-- How many requests came with no known key, by address and day (UTC, days since 1970). Such requests have no row in the log.
CREATE TABLE unknown_key_counts (
    project_id BIGINT NOT NULL,
    day        BIGINT NOT NULL,
    address    TEXT NOT NULL, -- an IPv4 address, or of an IPv6 address its /64; empty for all that are counted together
    requests   BIGINT NOT NULL,
    last_at    BIGINT NOT NULL, -- milliseconds since 1970
    batch      BIGINT NOT NULL, -- that was added last
    PRIMARY KEY (project_id, day, address)
);
