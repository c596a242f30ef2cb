-- +goose Up
-- Times are integers: milliseconds since 1970 in UTC (the connection converts them).

CREATE TABLE instance (
    id                 INTEGER PRIMARY KEY CHECK (id = 1),
    pepper_fingerprint BLOB
);
INSERT INTO instance (id) VALUES (1);

CREATE TABLE users (
    id                  INTEGER PRIMARY KEY AUTOINCREMENT,
    email               TEXT NOT NULL UNIQUE,
    password_hash       TEXT NOT NULL,
    is_admin            BOOLEAN NOT NULL DEFAULT FALSE,
    created_at          TIMESTAMP NOT NULL,
    password_changed_at TIMESTAMP NOT NULL
);

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

CREATE TABLE projects (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    name       TEXT NOT NULL,
    slug       TEXT NOT NULL UNIQUE,
    key_prefix TEXT NOT NULL,
    created_by INTEGER REFERENCES users (id) ON DELETE SET NULL,
    created_at TIMESTAMP NOT NULL
);

CREATE TABLE members (
    project_id INTEGER NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    user_id    INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role       TEXT NOT NULL CHECK (role IN ('owner', 'admin', 'developer', 'viewer')),
    created_at TIMESTAMP NOT NULL,
    PRIMARY KEY (project_id, user_id)
) WITHOUT ROWID;
CREATE INDEX members_user ON members (user_id);

CREATE TABLE categories (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id INTEGER NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    name       TEXT NOT NULL,
    built_in   BOOLEAN NOT NULL DEFAULT FALSE,
    created_at TIMESTAMP NOT NULL,
    UNIQUE (project_id, name),
    UNIQUE (project_id, id)
);

CREATE TABLE keys (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id    INTEGER NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    name          TEXT NOT NULL,
    description   TEXT NOT NULL DEFAULT '',
    type          TEXT NOT NULL CHECK (type IN ('production', 'test')),
    category_id   INTEGER NOT NULL,
    state         TEXT NOT NULL CHECK (state IN ('active', 'inactive', 'revoked')),
    is_default    BOOLEAN NOT NULL DEFAULT FALSE,
    self_rotation BOOLEAN NOT NULL DEFAULT FALSE,
    expires_at    TIMESTAMP,
    version       INTEGER NOT NULL CHECK (version >= 1),
    created_by    INTEGER REFERENCES users (id) ON DELETE SET NULL,
    created_at    TIMESTAMP NOT NULL,
    updated_at    TIMESTAMP NOT NULL,
    last_used_at  TIMESTAMP,
    UNIQUE (project_id, name),
    UNIQUE (project_id, id),
    FOREIGN KEY (project_id, category_id) REFERENCES categories (project_id, id),
    CHECK (NOT is_default OR state = 'active')
);
CREATE INDEX keys_category ON keys (project_id, category_id);

-- Every name a key of the project ever had. A name belongs to its key for good, so that history stays unambiguous.
CREATE TABLE key_names (
    project_id INTEGER NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    name       TEXT NOT NULL,
    key_id     INTEGER NOT NULL,
    PRIMARY KEY (project_id, name)
) WITHOUT ROWID;

CREATE TABLE key_versions (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    key_id     INTEGER NOT NULL REFERENCES keys (id) ON DELETE CASCADE,
    number     INTEGER NOT NULL CHECK (number >= 1),
    digest     BLOB NOT NULL UNIQUE,
    prefix     TEXT NOT NULL,
    last4      TEXT NOT NULL,
    created_by INTEGER REFERENCES users (id) ON DELETE SET NULL,
    created_at TIMESTAMP NOT NULL,
    ends_at    TIMESTAMP,
    UNIQUE (key_id, number)
);

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
    revoked_at   TIMESTAMP
);
CREATE INDEX service_tokens_project ON service_tokens (project_id);

-- The id is the request id: its upper bits are the time, so that newest first, a time range and a cursor all walk
-- the primary key, and writing appends. There are no foreign keys: a row outlives what it speaks of.
CREATE TABLE request_logs (
    id           INTEGER PRIMARY KEY,
    project_id   INTEGER NOT NULL,
    key_id       INTEGER NOT NULL,
    version      INTEGER NOT NULL,
    category     TEXT NOT NULL,
    method       TEXT NOT NULL,
    path         TEXT NOT NULL,
    status       INTEGER NOT NULL,
    duration_us  INTEGER NOT NULL,
    ip           TEXT NOT NULL,
    credits      INTEGER NOT NULL,
    code         TEXT NOT NULL,
    session_hash BLOB
);
CREATE INDEX request_logs_project ON request_logs (project_id, id);
CREATE INDEX request_logs_key ON request_logs (key_id, id);

-- One row for each project, minute and code in which something happened; minute counts from 1970.
CREATE TABLE usage_minutes (
    project_id INTEGER NOT NULL,
    minute     INTEGER NOT NULL,
    code       TEXT NOT NULL,
    requests   INTEGER NOT NULL,
    credits    INTEGER NOT NULL,
    PRIMARY KEY (project_id, minute, code)
) WITHOUT ROWID;
