-- +goose Up
-- Addresses that sent too many bad keys: the newest block of each, kept while it counts for how long the next one lasts.
CREATE TABLE address_blocks (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id INTEGER NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    address    TEXT NOT NULL, -- an IPv4 address, or of an IPv6 address its /64
    strikes    INTEGER NOT NULL CHECK (strikes >= 1), -- blocks one after the other, this one included
    blocked_at TIMESTAMP NOT NULL,
    ends_at    TIMESTAMP NOT NULL CHECK (ends_at > blocked_at),
    lifted_at  TIMESTAMP,
    UNIQUE (project_id, address)
);
CREATE INDEX address_blocks_end ON address_blocks (project_id, ends_at);
