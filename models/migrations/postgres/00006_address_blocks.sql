-- +goose Up
-- Addresses that sent too many bad keys: the newest block of each, kept while it counts for how long the next one lasts.
CREATE TABLE address_blocks (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id BIGINT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    address    TEXT NOT NULL, -- an IPv4 address, or of an IPv6 address its /64
    strikes    INTEGER NOT NULL CHECK (strikes >= 1), -- blocks one after the other, this one included
    blocked_at TIMESTAMPTZ NOT NULL,
    ends_at    TIMESTAMPTZ NOT NULL CHECK (ends_at > blocked_at),
    lifted_at  TIMESTAMPTZ,
    UNIQUE (project_id, address)
);
CREATE INDEX address_blocks_end ON address_blocks (project_id, ends_at);
