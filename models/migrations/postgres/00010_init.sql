-- +goose Up
-- All in one statement, as sending a hundred takes twice as long.
-- +goose StatementBegin
-- The whole schema. It has number 10 because schemas from before the first release had the numbers 1 to 9. The program
-- refuses databases with those numbers.

-- The instance -------------------------------------------------------------------------------------------------------

-- What a project may do, and how fast. NULL is no limit. The instance admin edits the limits, not the names.
CREATE TABLE plans (
    id                 BIGINT PRIMARY KEY, -- plans with higher ids allow more
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

-- One row with the settings of the whole instance.
CREATE TABLE instance (
    id                 BIGINT PRIMARY KEY CHECK (id = 1),
    pepper_fingerprint BYTEA, -- of the pepper that all digests are keyed with; NULL until the first start
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

-- Logins of browsers. The cookie contains a secret; only its hash is stored.
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
    quota_status INTEGER NOT NULL DEFAULT 401 CHECK (quota_status IN (401, 429)) -- HTTP status of requests over a quota
);

CREATE TABLE members (
    project_id BIGINT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    user_id    BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role       TEXT NOT NULL CHECK (role IN ('owner', 'admin', 'developer', 'viewer')),
    created_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (project_id, user_id)
);
CREATE INDEX members_user ON members (user_id);

-- Limits that replace those of the plan in one project.
CREATE TABLE plan_overrides (
    project_id BIGINT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    limit_name TEXT NOT NULL CHECK (limit_name IN (
        'active_keys', 'rotation', 'project_per_second', 'project_per_minute',
        'key_per_minute', 'ip_per_minute', 'session_per_minute', 'log_days'
    )),
    -- NULL is no limit. For rotation, 1 is yes and 0 is no.
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
    quota_total      BIGINT CHECK (quota_total >= 1), -- quotas cap admitted requests, which the gate counts
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
-- For counting the active keys of a project, which happens with its audit chain locked before another key is made.
CREATE INDEX keys_active ON keys (project_id) WHERE state = 'active';

-- Every name that a key of the project ever had. A name is never given to another key, so that history is unambiguous.
CREATE TABLE key_names (
    project_id BIGINT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    name       TEXT NOT NULL,
    key_id     BIGINT NOT NULL,
    PRIMARY KEY (project_id, name)
);

-- The versions of keys, each with one secret. Only the digest of a secret is stored.
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
    created_by_name TEXT NOT NULL DEFAULT '', -- name of the actor, for the timeline; stays when the account is deleted
    UNIQUE (key_id, number)
);

-- Credentials of a project's own servers, for validate and the management API.
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

-- Applied requests that had an idempotency key, so that a repeated request changes nothing a second time. Rows are kept
-- for a day. They have no secrets: the reply to a repeated request names what was made, without its secret.
CREATE TABLE idempotency_keys (
    id           BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    token_id     BIGINT NOT NULL REFERENCES service_tokens (id) ON DELETE CASCADE,
    key_hash     BYTEA NOT NULL,
    request_hash BYTEA NOT NULL,
    object_id    BIGINT NOT NULL, -- id of the key or category that was made
    created_at   TIMESTAMPTZ NOT NULL,
    UNIQUE (token_id, key_hash)
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);

-- Blocks of addresses that sent too many bad keys. Only the newest block of an address is kept, and only as long as it
-- counts for the length of the next one.
CREATE TABLE address_blocks (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id BIGINT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    address    TEXT NOT NULL, -- an IPv4 address, or the /64 of an IPv6 address
    strikes    INTEGER NOT NULL CHECK (strikes >= 1), -- number of blocks in a row, including this one
    blocked_at TIMESTAMPTZ NOT NULL,
    ends_at    TIMESTAMPTZ NOT NULL CHECK (ends_at > blocked_at),
    lifted_at  TIMESTAMPTZ,
    UNIQUE (project_id, address)
);
CREATE INDEX address_blocks_end ON address_blocks (project_id, ends_at);

-- Audit --------------------------------------------------------------------------------------------------------------

-- The audit log: one row for each change that a member, a service token, a key or the program made. The rows of one
-- project form a chain: each hash covers the row and the hash before it. Chain 0 is the instance's.
CREATE TABLE actions (
    id          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    chain       BIGINT NOT NULL, -- id of the project, or 0 for the instance
    seq         BIGINT NOT NULL, -- number of the row in its chain, from 1
    at          TIMESTAMPTZ NOT NULL,
    actor_kind  TEXT NOT NULL CHECK (actor_kind IN ('member', 'service_token', 'key', 'system')),
    actor_id    BIGINT NOT NULL,
    actor_name  TEXT NOT NULL,
    action      TEXT NOT NULL,
    object_kind TEXT NOT NULL,
    object_id   BIGINT NOT NULL,
    object_name TEXT NOT NULL,
    before      TEXT NOT NULL, -- JSON object with the changed fields before the change
    after       TEXT NOT NULL,
    ip          TEXT NOT NULL,
    hash        BYTEA NOT NULL,
    UNIQUE (chain, seq)
);

-- The end of each chain: number and hash of its newest row. Each audit transaction locks it, so the changes of one
-- project are made one after the other.
CREATE TABLE action_chains (
    chain BIGINT PRIMARY KEY,
    seq   BIGINT NOT NULL,
    hash  BYTEA NOT NULL
);
INSERT INTO action_chains (chain, seq, hash) VALUES (0, 0, '\x');

-- The request log ----------------------------------------------------------------------------------------------------
-- See docs/storage.md.

-- Partitioned by weeks, which are ranges of ids, so that old rows are deleted a week at a time and the indexes that new
-- rows are written to stay small. The id is the request id, whose upper bits are the time, so lists, ranges of time and
-- cursors use the primary key. There are no foreign keys: rows stay when their key or project is deleted.
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
    type         TEXT NOT NULL, -- type of the key
    ttfb_us      BIGINT,
    PRIMARY KEY (id)
) PARTITION BY RANGE (id);
CREATE INDEX request_logs_project ON request_logs (project_id, id);
CREATE INDEX request_logs_key ON request_logs (key_id, id);
-- A summary of the values in each 32 pages of the table. Inserting a row writes nothing to it, while an index with an
-- entry for each row would be written at a random place. models.Store.Tidy adds new pages to it.
CREATE INDEX request_logs_values ON request_logs USING brin (
    id int8_minmax_ops,
    status int4_minmax_multi_ops,
    code text_bloom_ops (n_distinct_per_range = 16),
    category text_bloom_ops (n_distinct_per_range = 16),
    type text_bloom_ops (n_distinct_per_range = 16),
    ip text_bloom_ops (n_distinct_per_range = 1000),
    path text_bloom_ops (n_distinct_per_range = 1000)
) WITH (pages_per_range = 32);

-- For rows of weeks that have no partition. The program makes partitions weeks ahead.
CREATE TABLE request_logs_other PARTITION OF request_logs DEFAULT;

-- The ranges of ids that have a partition.
CREATE TABLE request_partitions (
    name     TEXT PRIMARY KEY,
    first_id BIGINT NOT NULL,
    end_id   BIGINT NOT NULL -- first id after the range
);

-- The first partition has all ids up to the end of the current week.
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

-- Numbers the processes of the instance, so that request ids of the same millisecond differ.
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

-- Requests and credits of a key by slot, version and code.
CREATE TABLE usage_keys (
    key_id   BIGINT NOT NULL,
    minutes  INTEGER NOT NULL, -- length of the slot: 1, merged to 6 and then 30
    slot     BIGINT NOT NULL,  -- start of the slot, in minutes since 1970
    version  INTEGER NOT NULL,
    code     TEXT NOT NULL,
    requests BIGINT NOT NULL,
    credits  BIGINT NOT NULL,
    newest   BIGINT NOT NULL,  -- id of the newest request
    PRIMARY KEY (key_id, slot, minutes, version, code)
);
CREATE INDEX usage_keys_age ON usage_keys (minutes, slot);

-- Number of admitted requests of a key since it was made.
CREATE TABLE key_totals (
    key_id   BIGINT PRIMARY KEY,
    admitted BIGINT NOT NULL
);

-- Numbers of requests without a known key, by address and day (UTC, days since 1970). They have no rows in the request
-- log.
CREATE TABLE unknown_key_counts (
    project_id BIGINT NOT NULL,
    day        BIGINT NOT NULL,
    -- An IPv4 address, or the /64 of an IPv6 address. Under '', all further addresses are counted together.
    address    TEXT NOT NULL,
    requests   BIGINT NOT NULL,
    last_at    BIGINT NOT NULL, -- time of the last request, in milliseconds since 1970
    batch      BIGINT NOT NULL, -- number of the batch that was added last, so that no batch is added twice
    PRIMARY KEY (project_id, day, address)
);
-- +goose StatementEnd
