-- +goose Up
-- The whole schema. It has number 10 because schemas from before the first release had the numbers 1 to 9. The program
-- refuses databases with those numbers.
-- TIMESTAMP columns are integers: milliseconds since 1970 in UTC. The driver converts them.

-- The instance -------------------------------------------------------------------------------------------------------

-- What a project may do, and how fast. NULL is no limit. The instance admin edits the limits, not the names.
CREATE TABLE plans (
    id                 INTEGER PRIMARY KEY, -- plans with higher ids allow more
    name               TEXT NOT NULL UNIQUE,
    active_keys        INTEGER CHECK (active_keys >= 1),
    rotation           BOOLEAN NOT NULL,
    project_per_second INTEGER CHECK (project_per_second >= 1),
    project_per_minute INTEGER CHECK (project_per_minute >= 1),
    key_per_minute     INTEGER CHECK (key_per_minute >= 1),
    ip_per_minute      INTEGER CHECK (ip_per_minute >= 1),
    session_per_minute INTEGER CHECK (session_per_minute >= 1),
    log_days           INTEGER CHECK (log_days >= 1)
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
    id                 INTEGER PRIMARY KEY CHECK (id = 1),
    pepper_fingerprint BLOB, -- of the pepper that all digests are keyed with; NULL until the first start
    default_plan_id    INTEGER REFERENCES plans (id) -- the plan of new projects
);
INSERT INTO instance (id, default_plan_id) VALUES (1, 5);

-- People -------------------------------------------------------------------------------------------------------------

CREATE TABLE users (
    id                  INTEGER PRIMARY KEY AUTOINCREMENT,
    email               TEXT NOT NULL UNIQUE,
    password_hash       TEXT NOT NULL,
    is_admin            BOOLEAN NOT NULL DEFAULT FALSE,
    created_at          TIMESTAMP NOT NULL,
    password_changed_at TIMESTAMP NOT NULL
);

-- Logins of browsers. The cookie contains a secret; only its hash is stored.
CREATE TABLE sessions (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    secret_hash  BLOB NOT NULL UNIQUE,
    user_id      INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    data         BLOB,
    ip           TEXT NOT NULL,
    user_agent   TEXT NOT NULL,
    created_at   TIMESTAMP NOT NULL,
    last_seen_at TIMESTAMP NOT NULL,
    expires_at   TIMESTAMP NOT NULL
);
CREATE INDEX sessions_user ON sessions (user_id);

-- Projects -----------------------------------------------------------------------------------------------------------

CREATE TABLE projects (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    name         TEXT NOT NULL,
    slug         TEXT NOT NULL UNIQUE,
    key_prefix   TEXT NOT NULL,
    created_by   INTEGER REFERENCES users (id) ON DELETE SET NULL,
    created_at   TIMESTAMP NOT NULL,
    plan_id      INTEGER NOT NULL REFERENCES plans (id),
    quota_status INTEGER NOT NULL DEFAULT 401 CHECK (quota_status IN (401, 429)) -- HTTP status of requests over a quota
);

CREATE TABLE members (
    project_id INTEGER NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    user_id    INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role       TEXT NOT NULL CHECK (role IN ('owner', 'admin', 'developer', 'viewer')),
    created_at TIMESTAMP NOT NULL,
    PRIMARY KEY (project_id, user_id)
) WITHOUT ROWID;
CREATE INDEX members_user ON members (user_id);

-- Limits that replace those of the plan in one project.
CREATE TABLE plan_overrides (
    project_id INTEGER NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    limit_name TEXT NOT NULL CHECK (limit_name IN (
        'active_keys', 'rotation', 'project_per_second', 'project_per_minute',
        'key_per_minute', 'ip_per_minute', 'session_per_minute', 'log_days'
    )),
    -- NULL is no limit. For rotation, 1 is yes and 0 is no.
    value      INTEGER CHECK (value >= 1 OR limit_name = 'rotation' AND value = 0),
    PRIMARY KEY (project_id, limit_name)
);

CREATE TABLE categories (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id INTEGER NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    name       TEXT NOT NULL,
    built_in   BOOLEAN NOT NULL DEFAULT FALSE,
    created_at TIMESTAMP NOT NULL,
    UNIQUE (project_id, name),
    UNIQUE (project_id, id)
);

-- Keys ---------------------------------------------------------------------------------------------------------------

CREATE TABLE keys (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id       INTEGER NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    name             TEXT NOT NULL,
    description      TEXT NOT NULL DEFAULT '',
    type             TEXT NOT NULL CHECK (type IN ('production', 'test')),
    category_id      INTEGER NOT NULL,
    state            TEXT NOT NULL CHECK (state IN ('active', 'inactive', 'revoked')),
    is_default       BOOLEAN NOT NULL DEFAULT FALSE,
    self_rotation    BOOLEAN NOT NULL DEFAULT FALSE, -- the key may rotate itself
    expires_at       TIMESTAMP,
    version          INTEGER NOT NULL CHECK (version >= 1), -- number of the newest row in key_versions
    created_by       INTEGER REFERENCES users (id) ON DELETE SET NULL,
    created_at       TIMESTAMP NOT NULL,
    updated_at       TIMESTAMP NOT NULL,
    last_used_at     TIMESTAMP,
    platform_ios     BOOLEAN NOT NULL DEFAULT FALSE,
    platform_android BOOLEAN NOT NULL DEFAULT FALSE,
    ios_bundle_id    TEXT NOT NULL DEFAULT '',
    android_package  TEXT NOT NULL DEFAULT '',
    quota_total      INTEGER CHECK (quota_total >= 1), -- quotas cap admitted requests, which the gate counts
    quota_daily      INTEGER CHECK (quota_daily >= 1),
    quota_weekly     INTEGER CHECK (quota_weekly >= 1),
    quota_monthly    INTEGER CHECK (quota_monthly >= 1),
    rotated_at       TIMESTAMP, -- when the newest version was made; NULL while that is the first
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
    project_id INTEGER NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    name       TEXT NOT NULL,
    key_id     INTEGER NOT NULL,
    PRIMARY KEY (project_id, name)
) WITHOUT ROWID;

-- The versions of keys, each with one secret. Only the digest of a secret is stored.
CREATE TABLE key_versions (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    key_id          INTEGER NOT NULL REFERENCES keys (id) ON DELETE CASCADE,
    number          INTEGER NOT NULL CHECK (number >= 1),
    digest          BLOB NOT NULL UNIQUE,
    prefix          TEXT NOT NULL,
    last4           TEXT NOT NULL,
    created_by      INTEGER REFERENCES users (id) ON DELETE SET NULL,
    created_at      TIMESTAMP NOT NULL,
    ends_at         TIMESTAMP,
    created_by_name TEXT NOT NULL DEFAULT '', -- name of the actor, for the timeline; stays when the account is deleted
    UNIQUE (key_id, number)
);

-- Credentials of a project's own servers, for validate and the management API.
CREATE TABLE service_tokens (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id   INTEGER NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    name         TEXT NOT NULL,
    digest       BLOB NOT NULL UNIQUE,
    prefix       TEXT NOT NULL,
    last4        TEXT NOT NULL,
    scopes       TEXT NOT NULL,
    created_by   INTEGER REFERENCES users (id) ON DELETE SET NULL,
    created_at   TIMESTAMP NOT NULL,
    revoked_at   TIMESTAMP,
    last_used_at TIMESTAMP
);
CREATE INDEX service_tokens_project ON service_tokens (project_id);

-- Applied requests that had an idempotency key, so that a repeated request changes nothing a second time. Rows are kept
-- for a day. They have no secrets: the reply to a repeated request names what was made, without its secret.
CREATE TABLE idempotency_keys (
    id           INTEGER PRIMARY KEY,
    token_id     INTEGER NOT NULL REFERENCES service_tokens (id) ON DELETE CASCADE,
    key_hash     BLOB NOT NULL,
    request_hash BLOB NOT NULL,
    object_id    INTEGER NOT NULL, -- id of the key or category that was made
    created_at   TIMESTAMP NOT NULL,
    UNIQUE (token_id, key_hash)
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);

-- Blocks of addresses that sent too many bad keys. Only the newest block of an address is kept, and only as long as it
-- counts for the length of the next one.
CREATE TABLE address_blocks (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id INTEGER NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    address    TEXT NOT NULL, -- an IPv4 address, or the /64 of an IPv6 address
    strikes    INTEGER NOT NULL CHECK (strikes >= 1), -- number of blocks in a row, including this one
    blocked_at TIMESTAMP NOT NULL,
    ends_at    TIMESTAMP NOT NULL CHECK (ends_at > blocked_at),
    lifted_at  TIMESTAMP,
    UNIQUE (project_id, address)
);
CREATE INDEX address_blocks_end ON address_blocks (project_id, ends_at);

-- Audit --------------------------------------------------------------------------------------------------------------

-- The audit log: one row for each change that a member, a service token, a key or the program made. The rows of one
-- project form a chain: each hash covers the row and the hash before it. Chain 0 is the instance's.
CREATE TABLE actions (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    chain       INTEGER NOT NULL, -- id of the project, or 0 for the instance
    seq         INTEGER NOT NULL, -- number of the row in its chain, from 1
    at          TIMESTAMP NOT NULL,
    actor_kind  TEXT NOT NULL CHECK (actor_kind IN ('member', 'service_token', 'key', 'system')),
    actor_id    INTEGER NOT NULL,
    actor_name  TEXT NOT NULL,
    action      TEXT NOT NULL,
    object_kind TEXT NOT NULL,
    object_id   INTEGER NOT NULL,
    object_name TEXT NOT NULL,
    before      TEXT NOT NULL, -- JSON object with the changed fields before the change
    after       TEXT NOT NULL,
    ip          TEXT NOT NULL,
    hash        BLOB NOT NULL,
    UNIQUE (chain, seq)
);

-- The end of each chain: number and hash of its newest row. Each audit transaction locks it, so the changes of one
-- project are made one after the other.
CREATE TABLE action_chains (
    chain INTEGER PRIMARY KEY,
    seq   INTEGER NOT NULL,
    hash  BLOB NOT NULL
);
INSERT INTO action_chains (chain, seq, hash) VALUES (0, 0, x'');

-- The request log ----------------------------------------------------------------------------------------------------
-- See docs/storage.md.

-- Chunks: about 512 rows of one project each, encoded column by column. The id ranges of a project's chunks do not
-- overlap.
CREATE TABLE request_chunks (
    id         INTEGER PRIMARY KEY,
    project_id INTEGER NOT NULL,
    first_id   INTEGER NOT NULL, -- range of the ids in it
    last_id    INTEGER NOT NULL,
    count      INTEGER NOT NULL,
    bitmap     INTEGER NOT NULL, -- chunk bitmap: a bit for each code and category in it
    data       BLOB NOT NULL
);
CREATE UNIQUE INDEX request_chunks_range ON request_chunks (project_id, first_id, last_id, bitmap);

-- Chunk groups: the chunks of a project whose first id is at least first_id and less than end_id. The groups of a
-- project do not overlap. The Bloom filter of a group says which values do not occur in it. The newest chunks are in no
-- group.
CREATE TABLE request_groups (
    id         INTEGER PRIMARY KEY,
    project_id INTEGER NOT NULL,
    first_id   INTEGER NOT NULL,
    end_id     INTEGER NOT NULL,
    shards     INTEGER NOT NULL -- number of its rows in request_filters
);
CREATE UNIQUE INDEX request_groups_range ON request_groups (project_id, first_id);

-- The Bloom filter of a group, in shards. Each value belongs to one shard, so that looking for a value reads little.
CREATE TABLE request_filters (
    group_id INTEGER NOT NULL,
    shard    INTEGER NOT NULL,
    bits     BLOB NOT NULL,
    PRIMARY KEY (group_id, shard)
) WITHOUT ROWID;

-- Counts -------------------------------------------------------------------------------------------------------------

-- Requests and credits of a project by minute (since 1970) and code. Minutes without requests have no row.
CREATE TABLE usage_minutes (
    project_id INTEGER NOT NULL,
    minute     INTEGER NOT NULL,
    code       TEXT NOT NULL,
    requests   INTEGER NOT NULL,
    credits    INTEGER NOT NULL,
    PRIMARY KEY (project_id, minute, code)
) WITHOUT ROWID;

-- The journal: which keys made which requests, by batch. Batches that are not in a run yet are also in memory, in the
-- memtable.
CREATE TABLE key_journal (
    seq  INTEGER PRIMARY KEY,
    data BLOB NOT NULL
);
CREATE TABLE key_journal_state (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    flushed INTEGER NOT NULL -- seq of the newest batch that is in a run
);
INSERT INTO key_journal_state (id, flushed) VALUES (1, 0);

-- Sorted runs: counts and requests of many batches, sorted by key. Compaction merges small runs into larger ones.
CREATE TABLE key_runs (
    id       INTEGER PRIMARY KEY,
    state    TEXT NOT NULL CHECK (state IN ('writing', 'live', 'dead')),
    level    INTEGER NOT NULL, -- how often it was merged
    first_id INTEGER NOT NULL, -- range of the request ids in it
    last_id  INTEGER NOT NULL,
    requests BOOLEAN NOT NULL, -- whether it still has single requests
    folded   BOOLEAN NOT NULL  -- whether it has one total for each key instead of counts by minute
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

-- Pairs of version and code. Runs and batches refer to them by id.
CREATE TABLE key_outcomes (
    id      INTEGER PRIMARY KEY,
    version INTEGER NOT NULL,
    code    TEXT NOT NULL
);

-- Times of the last use of keys. A page has the times of many keys: 4 bytes each, in seconds since 1970.
CREATE TABLE key_last_used (
    page    INTEGER PRIMARY KEY,
    seconds BLOB NOT NULL
);

-- Numbers of requests without a known key, by address and day (UTC, days since 1970). They have no rows in the request
-- log.
CREATE TABLE unknown_key_counts (
    project_id INTEGER NOT NULL,
    day        INTEGER NOT NULL,
    -- An IPv4 address, or the /64 of an IPv6 address. Under '', all further addresses are counted together.
    address    TEXT NOT NULL,
    requests   INTEGER NOT NULL,
    last_at    INTEGER NOT NULL, -- time of the last request, in milliseconds since 1970
    batch      INTEGER NOT NULL, -- number of the batch that was added last, so that no batch is added twice
    PRIMARY KEY (project_id, day, address)
) WITHOUT ROWID;
