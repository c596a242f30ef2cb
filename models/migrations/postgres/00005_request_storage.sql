-- +goose Up
-- The log of requests by the week, so that what is too old goes a whole week at a time, and the indexes in which rows are
-- written stay small: docs/design.md, "How requests are stored on Postgres".
ALTER TABLE request_logs RENAME TO request_logs_first;
ALTER INDEX request_logs_pkey RENAME TO request_logs_first_pkey;
ALTER INDEX request_logs_project RENAME TO request_logs_first_project;
ALTER INDEX request_logs_key RENAME TO request_logs_first_key;

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
    PRIMARY KEY (id)
) PARTITION BY RANGE (id);
CREATE INDEX request_logs_project ON request_logs (project_id, id);
CREATE INDEX request_logs_key ON request_logs (key_id, id);

-- For rows of a week that has no partition: the program makes them weeks ahead.
CREATE TABLE request_logs_other PARTITION OF request_logs DEFAULT;

-- The stretches of ids that have a partition of their own.
CREATE TABLE request_partitions (
    name     TEXT PRIMARY KEY,
    first_id BIGINT NOT NULL,
    end_id   BIGINT NOT NULL -- the first one beyond
);

-- The rows that are there are the first partition, to the end of the week; they stay where they are.
-- +goose StatementBegin
DO $$
DECLARE
    week BIGINT := 7 * 24 * 3600 * 1000::BIGINT;
    bound BIGINT;
BEGIN
    SELECT (GREATEST(COALESCE(MAX(id), 0) >> 21, EXTRACT(EPOCH FROM now())::BIGINT * 1000) / week + 1) * week << 21 INTO bound FROM request_logs_first;
    EXECUTE format('ALTER TABLE request_logs ATTACH PARTITION request_logs_first FOR VALUES FROM (MINVALUE) TO (%s)', bound);
    INSERT INTO request_partitions (name, first_id, end_id) VALUES ('request_logs_first', 0, bound);
END $$;
-- +goose StatementEnd

-- What each key did in a slot of time, with one version and one outcome.
CREATE TABLE usage_keys (
    key_id   BIGINT NOT NULL,
    minutes  INTEGER NOT NULL, -- length of the slot: 1, later 6, later 30
    slot     BIGINT NOT NULL,  -- minute since 1970 at which it starts
    version  INTEGER NOT NULL,
    code     TEXT NOT NULL,
    requests BIGINT NOT NULL,
    credits  BIGINT NOT NULL,
    newest   BIGINT NOT NULL,  -- id of the newest request
    PRIMARY KEY (key_id, slot, minutes, version, code)
);
CREATE INDEX usage_keys_age ON usage_keys (minutes, slot);

-- Admitted requests of a key, ever.
CREATE TABLE key_totals (
    key_id   BIGINT PRIMARY KEY,
    admitted BIGINT NOT NULL
);

INSERT INTO usage_keys (key_id, minutes, slot, version, code, requests, credits, newest)
SELECT key_id, 1, (id >> 21) / 60000, version, code, COUNT(*), SUM(credits), MAX(id) FROM request_logs_first GROUP BY 1, 2, 3, 4, 5;
INSERT INTO key_totals (key_id, admitted) SELECT key_id, COUNT(*) FROM request_logs_first WHERE code = 'valid' GROUP BY 1;
