-- +goose Up

CREATE TABLE instance (
    id                 BIGINT PRIMARY KEY CHECK (id = 1),
    pepper_fingerprint BYTEA
);
INSERT INTO instance (id) VALUES (1);

CREATE TABLE users (
    id                  BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email               TEXT NOT NULL UNIQUE,
    password_hash       TEXT NOT NULL,
    is_admin            BOOLEAN NOT NULL DEFAULT FALSE,
    created_at          TIMESTAMPTZ NOT NULL,
    password_changed_at TIMESTAMPTZ NOT NULL
);

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

CREATE TABLE projects (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       TEXT NOT NULL,
    slug       TEXT NOT NULL UNIQUE,
    key_prefix TEXT NOT NULL,
    created_by BIGINT REFERENCES users (id) ON DELETE SET NULL,
    created_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE members (
    project_id BIGINT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    user_id    BIGINT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role       TEXT NOT NULL CHECK (role IN ('owner', 'admin', 'developer', 'viewer')),
    created_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (project_id, user_id)
);
CREATE INDEX members_user ON members (user_id);

CREATE TABLE categories (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id BIGINT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    name       TEXT NOT NULL,
    built_in   BOOLEAN NOT NULL DEFAULT FALSE,
    created_at TIMESTAMPTZ NOT NULL,
    UNIQUE (project_id, name),
    UNIQUE (project_id, id)
);

CREATE TABLE keys (
    id            BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id    BIGINT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    name          TEXT NOT NULL,
    description   TEXT NOT NULL DEFAULT '',
    type          TEXT NOT NULL CHECK (type IN ('production', 'test')),
    category_id   BIGINT NOT NULL,
    state         TEXT NOT NULL CHECK (state IN ('active', 'inactive', 'revoked')),
    is_default    BOOLEAN NOT NULL DEFAULT FALSE,
    self_rotation BOOLEAN NOT NULL DEFAULT FALSE,
    expires_at    TIMESTAMPTZ,
    version       INTEGER NOT NULL CHECK (version >= 1),
    created_by    BIGINT REFERENCES users (id) ON DELETE SET NULL,
    created_at    TIMESTAMPTZ NOT NULL,
    updated_at    TIMESTAMPTZ NOT NULL,
    last_used_at  TIMESTAMPTZ,
    UNIQUE (project_id, name),
    UNIQUE (project_id, id),
    FOREIGN KEY (project_id, category_id) REFERENCES categories (project_id, id),
    CHECK (NOT is_default OR state = 'active')
);
CREATE INDEX keys_category ON keys (project_id, category_id);

-- Every name a key of the project ever had. A name belongs to its key for good, so that history stays unambiguous.
CREATE TABLE key_names (
    project_id BIGINT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    name       TEXT NOT NULL,
    key_id     BIGINT NOT NULL,
    PRIMARY KEY (project_id, name)
);

CREATE TABLE key_versions (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key_id     BIGINT NOT NULL REFERENCES keys (id) ON DELETE CASCADE,
    number     INTEGER NOT NULL CHECK (number >= 1),
    digest     BYTEA NOT NULL UNIQUE,
    prefix     TEXT NOT NULL,
    last4      TEXT NOT NULL,
    created_by BIGINT REFERENCES users (id) ON DELETE SET NULL,
    created_at TIMESTAMPTZ NOT NULL,
    ends_at    TIMESTAMPTZ,
    UNIQUE (key_id, number)
);

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
    revoked_at   TIMESTAMPTZ
);
CREATE INDEX service_tokens_project ON service_tokens (project_id);

-- The id is the request id: its upper bits are the time, so that newest first, a time range and a cursor all walk
-- the primary key, and writing appends. There are no foreign keys: a row outlives what it speaks of.
CREATE TABLE request_logs (
    id           BIGINT PRIMARY KEY,
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
    session_hash BYTEA
);
CREATE INDEX request_logs_project ON request_logs (project_id, id);
CREATE INDEX request_logs_key ON request_logs (key_id, id);

-- One row for each project, minute and code in which something happened; minute counts from 1970.
CREATE TABLE usage_minutes (
    project_id BIGINT NOT NULL,
    minute     BIGINT NOT NULL,
    code       TEXT NOT NULL,
    requests   BIGINT NOT NULL,
    credits    BIGINT NOT NULL,
    PRIMARY KEY (project_id, minute, code)
);

-- Numbers the processes of the instance, so that request ids made in the same millisecond differ.
CREATE SEQUENCE process_numbers MINVALUE 0 MAXVALUE 1023 CYCLE;
