-- +goose Up
-- Rows of keys that are gone count as production, and so do those that processes of the program before write until they end.
ALTER TABLE request_logs ADD COLUMN type TEXT NOT NULL DEFAULT 'production', ADD COLUMN ttfb_us BIGINT;
UPDATE request_logs SET type = 'test' FROM keys WHERE keys.id = request_logs.key_id AND keys.type = 'test';

-- What the pages of the table have of each value, a few bytes for some hundred rows: an index that costs a writer nothing, where
-- one with an entry for each row would be written at a random place. The program sees to it that new pages get into it.
CREATE INDEX request_logs_values ON request_logs USING brin (
    id int8_minmax_ops,
    status int4_minmax_multi_ops,
    code text_bloom_ops (n_distinct_per_range = 16),
    category text_bloom_ops (n_distinct_per_range = 16),
    type text_bloom_ops (n_distinct_per_range = 16),
    ip text_bloom_ops (n_distinct_per_range = 1000),
    path text_bloom_ops (n_distinct_per_range = 1000)
) WITH (pages_per_range = 32);

-- Without it nothing is known of the new column until a tenth of the rows is new.
ANALYZE request_logs;
