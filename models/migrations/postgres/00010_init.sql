-- +goose Up
-- The whole schema. It is number 10 because 1 to 9 were schemas before the first release, which are refused by number.

-- The instance -------------------------------------------------------------------------------------------------------

-- What a project may do, and how fast. NULL is no limit. The instance admin edits the limits, not the names.
CREATE TABLE plans (
    id                 BIGINT PRIMARY KEY, -- in the order of what they allow
    name               TEXT NOT NULL UNIQUE,
    active_keys        BIGINT CHECK (active_keys >= 1),
    rotation           BOOLEAN NOT NULL,
    project_per_second BIGINT CHECK (project_per_second >= 1),
    project_per_minute BIGINT CHECK (project_per_minute >= 1),
    key_per_minute     BIGINT CHECK (key_per_minute >= 1),
    ip_per_minute      BIGINT CHECK (ip_per_minute >= 1),
    session_per_minute BIGINT CHECK (session_per_minute >= 1),
    log_days           BIGINT CHECK (log_days >= 1)
);
INSERT INTO plans (
    id, name, active_keys, rotation, project_per_second, project_per_minute,
    key_per_minute, ip_per_minute, session_per_minute, log_days
) VALUES
    (1, 'Free', 1, FALSE, 10, 300, 300, 60, 60, 7),
    (2, 'Starter', 3, TRUE, 50, 2000, 1000, 300, 120, 30),
    (3, 'Growth', 5, TRUE, 200, 10000, 5000, 1000, 300, 90),
    (4, 'Pro', 10, TRUE, 1000, 50000, 20000, 3000, 600, 180),
    (5, 'Enterprise', NULL, TRUE, NULL, NULL, NULL, NULL, NULL, 365);

-- One row with what holds for the whole instance.
CREATE TABLE instance (
    id                 BIGINT PRIMARY KEY CHECK (id = 1),
    pepper_fingerprint BYTEA, -- of the pepper behind every digest here; NULL until the first start
    default_plan_id    BIGINT REFERENCES plans (id) -- the plan of new projects
);
INSERT INTO instance (id, default_plan_id) VALUES (1, 5);

-- People -------------------------------------------------------------------------------------------------------------

CREATE TABLE users (
    id                  BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email               TEXT NOT NULL UNIQUE,
    password_hash       TEXT NOT NULL,
    is_admin            BOOLEAN NOT NULL DEFAULT FALSE,
    created_at          TIMESTAMPTZ NOT NULL,
    password_changed_at TIMESTAMPTZ NOT NULL
);

-- Logins. The cookie holds a secret of which only the hash is stored.
CREATE TABLE sessions (
    id           BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    secret_hash  BYTEA NOT NULL UNIQUE,
    user_id      BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    data         BYTEA,
    ip           TEXT NOT NULL,
    user_agent   TEXT NOT NULL,
    created_at   TIMESTAMPTZ NOT NULL,
    last_seen_at TIMESTAMPTZ NOT NULL,
    expires_at   TIMESTAMPTZ NOT NULL
);
CREATE INDEX sessions_user ON sessions (user_id);

-- Projects -----------------------------------------------------------------------------------------------------------

CREATE TABLE projects (
    id           BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name         TEXT NOT NULL,
    slug         TEXT NOT NULL UNIQUE,
    key_prefix   TEXT NOT NULL,
    created_by   BIGINT REFERENCES users (id) ON DELETE SET NULL,
    created_at   TIMESTAMPTZ NOT NULL,
    plan_id      BIGINT NOT NULL REFERENCES plans (id),
    quota_status INTEGER NOT NULL DEFAULT 401 CHECK (quota_status IN (401, 429)) -- the HTTP status over a quota
);

CREATE TABLE members (
    project_id BIGINT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    user_id    BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role       TEXT NOT NULL CHECK (role IN ('owner', 'admin', 'developer', 'viewer')),
    created_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (project_id, user_id)
);
CREATE INDEX members_user ON members (user_id);

-- Limits of one project in place of its plan's.
CREATE TABLE plan_overrides (
    project_id BIGINT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    limit_name TEXT NOT NULL CHECK (limit_name IN (
        'active_keys', 'rotation', 'project_per_second', 'project_per_minute',
        'key_per_minute', 'ip_per_minute', 'session_per_minute', 'log_days'
    )),
    -- NULL is no limit. Rotation is 1 for yes and 0 for no.
    value      BIGINT CHECK (value >= 1 OR limit_name = 'rotation' AND value = 0),
    PRIMARY KEY (project_id, limit_name)
);

CREATE TABLE categories (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id BIGINT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    name       TEXT NOT NULL,
    built_in   BOOLEAN NOT NULL DEFAULT FALSE,
    created_at TIMESTAMPTZ NOT NULL,
    UNIQUE (project_id, name),
    UNIQUE (project_id, id)
);

-- Keys ---------------------------------------------------------------------------------------------------------------

CREATE TABLE keys (
    id               BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id       BIGINT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    name             TEXT NOT NULL,
    description      TEXT NOT NULL DEFAULT '',
    type             TEXT NOT NULL CHECK (type IN ('production', 'test')),
    category_id      BIGINT NOT NULL,
    state            TEXT NOT NULL CHECK (state IN ('active', 'inactive', 'revoked')),
    is_default       BOOLEAN NOT NULL DEFAULT FALSE,
    self_rotation    BOOLEAN NOT NULL DEFAULT FALSE, -- the key may rotate itself
    expires_at       TIMESTAMPTZ,
    version          INTEGER NOT NULL CHECK (version >= 1), -- number of the newest row in key_versions
    created_by       BIGINT REFERENCES users (id) ON DELETE SET NULL,
    created_at       TIMESTAMPTZ NOT NULL,
    updated_at       TIMESTAMPTZ NOT NULL,
    last_used_at     TIMESTAMPTZ,
    platform_ios     BOOLEAN NOT NULL DEFAULT FALSE,
    platform_android BOOLEAN NOT NULL DEFAULT FALSE,
    ios_bundle_id    TEXT NOT NULL DEFAULT '',
    android_package  TEXT NOT NULL DEFAULT '',
    quota_total      BIGINT CHECK (quota_total >= 1), -- admitted requests, as the other quotas; the gate counts them
    quota_daily      BIGINT CHECK (quota_daily >= 1),
    quota_weekly     BIGINT CHECK (quota_weekly >= 1),
    quota_monthly    BIGINT CHECK (quota_monthly >= 1),
    rotated_at       TIMESTAMPTZ, -- when the newest version was made; NULL while that is the first
    UNIQUE (project_id, name),
    UNIQUE (project_id, id),
    FOREIGN KEY (project_id, category_id) REFERENCES categories (project_id, id),
    CHECK (NOT is_default OR state = 'active'),
    CHECK (NOT self_rotation OR NOT (platform_ios OR platform_android))
);
CREATE INDEX keys_category ON keys (project_id, category_id);
-- The active keys of a project are counted, with its audit chain locked, before one more is made.
CREATE INDEX keys_active ON keys (project_id) WHERE state = 'active';

-- Every name that a key of the project ever had. A name belongs to its key for good, so that history is unambiguous.
CREATE TABLE key_names (
    project_id BIGINT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    name       TEXT NOT NULL,
    key_id     BIGINT NOT NULL,
    PRIMARY KEY (project_id, name)
);

-- The secrets of a key, one for each rotation. Only a digest of a secret is stored.
CREATE TABLE key_versions (
    id              BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key_id          BIGINT NOT NULL REFERENCES keys (id) ON DELETE CASCADE,
    number          INTEGER NOT NULL CHECK (number >= 1),
    digest          BYTEA NOT NULL UNIQUE,
    prefix          TEXT NOT NULL,
    last4           TEXT NOT NULL,
    created_by      BIGINT REFERENCES users (id) ON DELETE SET NULL,
    created_at      TIMESTAMPTZ NOT NULL,
    ends_at         TIMESTAMPTZ,
    created_by_name TEXT NOT NULL DEFAULT '', -- shown in the timeline, also when the account is gone
    UNIQUE (key_id, number)
);

-- Tokens with which programs use the management API.
CREATE TABLE service_tokens (
    id           BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id   BIGINT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    name         TEXT NOT NULL,
    digest       BYTEA NOT NULL UNIQUE,
    prefix       TEXT NOT NULL,
    last4        TEXT NOT NULL,
    scopes       TEXT NOT NULL,
    created_by   BIGINT REFERENCES users (id) ON DELETE SET NULL,
    created_at   TIMESTAMPTZ NOT NULL,
    revoked_at   TIMESTAMPTZ,
    last_used_at TIMESTAMPTZ
);
CREATE INDEX service_tokens_project ON service_tokens (project_id);

-- What was made under an idempotency key of a service token, so that a repeated request makes nothing twice. Rows are
-- kept for a day. They hold no secrets: the repeated request learns what was made, not its secret.
CREATE TABLE idempotency_keys (
    id           BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    token_id     BIGINT NOT NULL REFERENCES service_tokens (id) ON DELETE CASCADE,
    key_hash     BYTEA NOT NULL,
    request_hash BYTEA NOT NULL,
    object_id    BIGINT NOT NULL, -- of the key or category that was made
    created_at   TIMESTAMPTZ NOT NULL,
    UNIQUE (token_id, key_hash)
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);

-- Addresses that sent too many bad keys. Only the newest block of an address is kept, for as long as it makes the next
-- one longer.
CREATE TABLE address_blocks (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id BIGINT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    address    TEXT NOT NULL, -- an IPv4 address, or the /64 of an IPv6 address
    strikes    INTEGER NOT NULL CHECK (strikes >= 1), -- how many blocks in a row, this one included
    blocked_at TIMESTAMPTZ NOT NULL,
    ends_at    TIMESTAMPTZ NOT NULL CHECK (ends_at > blocked_at),
    lifted_at  TIMESTAMPTZ,
    UNIQUE (project_id, address)
);
CREATE INDEX address_blocks_end ON address_blocks (project_id, ends_at);

-- Audit --------------------------------------------------------------------------------------------------------------

-- Every change that a person, a token or a key made. The rows of one project form a chain: each hash covers the row and
-- the hash before it. Chain 0 holds the changes of the instance.
CREATE TABLE actions (
    id          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    chain       BIGINT NOT NULL, -- id of the project, or 0
    seq         BIGINT NOT NULL, -- 1, 2, 3 … in the chain
    at          TIMESTAMPTZ NOT NULL,
    actor_kind  TEXT NOT NULL CHECK (actor_kind IN ('member', 'service_token', 'key', 'system')),
    actor_id    BIGINT NOT NULL,
    actor_name  TEXT NOT NULL,
    action      TEXT NOT NULL,
    object_kind TEXT NOT NULL,
    object_id   BIGINT NOT NULL,
    object_name TEXT NOT NULL,
    before      TEXT NOT NULL, -- JSON object with the fields that changed
    after       TEXT NOT NULL,
    ip          TEXT NOT NULL,
    hash        BYTEA NOT NULL,
    UNIQUE (chain, seq)
);

-- The newest row of each chain. A change locks it, which puts the changes of one project in order.
CREATE TABLE action_chains (
    chain BIGINT PRIMARY KEY,
    seq   BIGINT NOT NULL,
    hash  BYTEA NOT NULL
);
INSERT INTO action_chains (chain, seq, hash) VALUES (0, 0, '\x');

-- The request log ----------------------------------------------------------------------------------------------------
-- docs/storage.md.

-- Partitioned by ranges of ids, which are weeks, so that old rows go a week at a time, and the indexes in which rows
-- are written stay small. The id is the request id, whose upper bits are the time: newest first, a range of time and
-- a cursor all walk the primary key. There are no foreign keys: a row outlives its key and its project.
CREATE TABLE request_logs (
    id           BIGINT NOT NULL,
    project_id   BIGINT NOT NULL,
    key_id       BIGINT NOT NULL,
    version      INTEGER NOT NULL,
    category     TEXT NOT NULL,
    method       TEXT NOT NULL,
    path         TEXT NOT NULL,
    status       INTEGER NOT NULL,
    duration_us  BIGINT NOT NULL,
    ip           TEXT NOT NULL,
    credits      BIGINT NOT NULL,
    code         TEXT NOT NULL,
    session_hash BYTEA,
    type         TEXT NOT NULL, -- of the key
    ttfb_us      BIGINT,
    PRIMARY KEY (id)
) PARTITION BY RANGE (id);
CREATE INDEX request_logs_project ON request_logs (project_id, id);
CREATE INDEX request_logs_key ON request_logs (key_id, id);
-- For each 32 pages of the table, which values they may have, in a few bytes. It costs a writer nothing, where an index
-- with an entry for each row would be written at a random place. models.Store.Tidy brings new pages into it.
CREATE INDEX request_logs_values ON request_logs USING brin (
    id int8_minmax_ops,
    status int4_minmax_multi_ops,
    code text_bloom_ops (n_distinct_per_range = 16),
    category text_bloom_ops (n_distinct_per_range = 16),
    type text_bloom_ops (n_distinct_per_range = 16),
    ip text_bloom_ops (n_distinct_per_range = 1000),
    path text_bloom_ops (n_distinct_per_range = 1000)
) WITH (pages_per_range = 32);

-- Rows of a week that has no partition. The program makes partitions weeks ahead.
CREATE TABLE request_logs_other PARTITION OF request_logs DEFAULT;

-- The ranges of ids that have a partition.
CREATE TABLE request_partitions (
    name     TEXT PRIMARY KEY,
    first_id BIGINT NOT NULL,
    end_id   BIGINT NOT NULL -- the first id after it
);

-- The first partition takes everything up to the end of this week.
-- +goose StatementBegin
DO $$
DECLARE
    week  BIGINT := 7 * 24 * 3600 * 1000::BIGINT;
    bound BIGINT := (EXTRACT(EPOCH FROM now())::BIGINT * 1000 / week + 1) * week << 21;
BEGIN
    EXECUTE format(
        'CREATE TABLE request_logs_first PARTITION OF request_logs FOR VALUES FROM (MINVALUE) TO (%s)',
        bound
    );
    INSERT INTO request_partitions (name, first_id, end_id) VALUES ('request_logs_first', 0, bound);
END $$;
-- +goose StatementEnd

-- Numbers the processes of the instance, so that request ids made in the same millisecond differ.
CREATE SEQUENCE process_numbers MINVALUE 0 MAXVALUE 1023 CYCLE;

-- Requests and credits of a project by minute (since 1970) and code. Minutes without requests have no row.
CREATE TABLE usage_minutes (
    project_id BIGINT NOT NULL,
    minute     BIGINT NOT NULL,
    code       TEXT NOT NULL,
    requests   BIGINT NOT NULL,
    credits    BIGINT NOT NULL,
    PRIMARY KEY (project_id, minute, code)
);

-- Requests and credits of a key in a slot of time, by version and code.
CREATE TABLE usage_keys (
    key_id   BIGINT NOT NULL,
    minutes  INTEGER NOT NULL, -- length of the slot: 1, later 6, then 30
    slot     BIGINT NOT NULL,  -- minute since 1970 at which it starts
    version  INTEGER NOT NULL,
    code     TEXT NOT NULL,
    requests BIGINT NOT NULL,
    credits  BIGINT NOT NULL,
    newest   BIGINT NOT NULL,  -- id of the newest request
    PRIMARY KEY (key_id, slot, minutes, version, code)
);
CREATE INDEX usage_keys_age ON usage_keys (minutes, slot);

-- Admitted requests of a key since it was made.
CREATE TABLE key_totals (
    key_id   BIGINT PRIMARY KEY,
    admitted BIGINT NOT NULL
);

-- Requests without a known key, by address and day (UTC, days since 1970). They have no row in the log.
CREATE TABLE unknown_key_counts (
    project_id BIGINT NOT NULL,
    day        BIGINT NOT NULL,
    -- An IPv4 address, or the /64 of an IPv6 address. '' counts all further addresses together.
    address    TEXT NOT NULL,
    requests   BIGINT NOT NULL,
    last_at    BIGINT NOT NULL, -- milliseconds since 1970
    batch      BIGINT NOT NULL, -- the batch that was added last, so that none is added twice
    PRIMARY KEY (project_id, day, address)
);
