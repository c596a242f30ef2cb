-- +goose Up
-- What a key is restricted to. Quotas are on record here; the gate enforces them from its own meters.
ALTER TABLE keys ADD COLUMN platform_ios BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE keys ADD COLUMN platform_android BOOLEAN NOT NULL DEFAULT FALSE
    CHECK (NOT self_rotation OR NOT (platform_ios OR platform_android));
ALTER TABLE keys ADD COLUMN ios_bundle_id TEXT NOT NULL DEFAULT '';
ALTER TABLE keys ADD COLUMN android_package TEXT NOT NULL DEFAULT '';
ALTER TABLE keys ADD COLUMN quota_total BIGINT CHECK (quota_total >= 1);
ALTER TABLE keys ADD COLUMN quota_daily BIGINT CHECK (quota_daily >= 1);
ALTER TABLE keys ADD COLUMN quota_weekly BIGINT CHECK (quota_weekly >= 1);
ALTER TABLE keys ADD COLUMN quota_monthly BIGINT CHECK (quota_monthly >= 1);
ALTER TABLE keys ADD COLUMN rotated_at TIMESTAMPTZ; -- when the newest version was made, null while that is the first

ALTER TABLE service_tokens ADD COLUMN last_used_at TIMESTAMPTZ;

-- Who made a version, as shown in the timeline for good: an account may go, the history stays.
ALTER TABLE key_versions ADD COLUMN created_by_name TEXT NOT NULL DEFAULT '';
UPDATE key_versions SET created_by_name = COALESCE((SELECT email FROM users WHERE users.id = key_versions.created_by), '');

-- Every change that a person, a token or a key made. Rows of one project form a chain: each hash covers the row and the
-- hash before it. Chain 0 holds what concerns the instance.
CREATE TABLE actions (
    id          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    chain       BIGINT NOT NULL, -- project id, or 0
    seq         BIGINT NOT NULL, -- 1, 2, 3 … in the chain
    at          TIMESTAMPTZ NOT NULL,
    actor_kind  TEXT NOT NULL CHECK (actor_kind IN ('member', 'service_token', 'key', 'system')),
    actor_id    BIGINT NOT NULL,
    actor_name  TEXT NOT NULL,
    action      TEXT NOT NULL,
    object_kind TEXT NOT NULL,
    object_id   BIGINT NOT NULL,
    object_name TEXT NOT NULL,
    before      TEXT NOT NULL, -- JSON object of what changed
    after       TEXT NOT NULL,
    ip          TEXT NOT NULL,
    hash        BYTEA NOT NULL,
    UNIQUE (chain, seq)
);

-- The newest row of each chain. Locking it is what puts the changes of one project in order.
CREATE TABLE action_chains (
    chain BIGINT PRIMARY KEY,
    seq   BIGINT NOT NULL,
    hash  BYTEA NOT NULL
);
INSERT INTO action_chains (chain, seq, hash) VALUES (0, 0, '\x');
INSERT INTO action_chains (chain, seq, hash) SELECT id, 0, '\x' FROM projects;
