-- +goose Up
-- What was made under an idempotency key of a service token, so that asking again makes nothing a second time. Kept for a
-- day. Secrets are not here: who asks again learns what was made, not its secret.
CREATE TABLE idempotency_keys (
    id           INTEGER PRIMARY KEY,
    token_id     INTEGER NOT NULL REFERENCES service_tokens (id) ON DELETE CASCADE,
    key_hash     BLOB NOT NULL,
    request_hash BLOB NOT NULL,
    object_id    INTEGER NOT NULL, -- key or category
    created_at   TIMESTAMP NOT NULL,
    UNIQUE (token_id, key_hash)
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);
