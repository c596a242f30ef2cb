-- +goose Up
-- What a project may do and how fast. Null is no limit. The instance admin edits the figures; names and order stay.
CREATE TABLE plans (
    id                 INTEGER PRIMARY KEY,
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
INSERT INTO plans (id, name, active_keys, rotation, project_per_second, project_per_minute, key_per_minute, ip_per_minute, session_per_minute, log_days) VALUES
    (1, 'Free', 1, FALSE, 10, 300, 300, 60, 60, 7),
    (2, 'Starter', 3, TRUE, 50, 2000, 1000, 300, 120, 30),
    (3, 'Growth', 5, TRUE, 200, 10000, 5000, 1000, 300, 90),
    (4, 'Pro', 10, TRUE, 1000, 50000, 20000, 3000, 600, 180),
    (5, 'Enterprise', NULL, TRUE, NULL, NULL, NULL, NULL, NULL, 365);

-- What new projects get: Enterprise as installed.
ALTER TABLE instance ADD COLUMN default_plan_id INTEGER REFERENCES plans (id);
UPDATE instance SET default_plan_id = 5;

-- SQLite adds no column that is both a reference and not null; every project has a plan all the same.
ALTER TABLE projects ADD COLUMN plan_id INTEGER REFERENCES plans (id);
UPDATE projects SET plan_id = 5;

-- Figures that one project has in place of its plan's.
CREATE TABLE plan_overrides (
    project_id INTEGER NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    figure     TEXT NOT NULL CHECK (figure IN ('active_keys', 'rotation', 'project_per_second', 'project_per_minute',
                                               'key_per_minute', 'ip_per_minute', 'session_per_minute', 'log_days')),
    value      INTEGER CHECK (value >= 1 OR figure = 'rotation' AND value = 0), -- null is no limit; of rotation 1 is yes
    PRIMARY KEY (project_id, figure)
);

-- The maximum of active keys is counted while the project's chain is locked.
CREATE INDEX keys_active ON keys (project_id) WHERE state = 'active';
