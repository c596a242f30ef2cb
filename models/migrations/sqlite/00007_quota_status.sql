-- +goose Up
-- The status with which validate rejects a request over a quota: 401, or 429 where the project chose so.
ALTER TABLE projects ADD COLUMN quota_status INTEGER NOT NULL DEFAULT 401 CHECK (quota_status IN (401, 429));
