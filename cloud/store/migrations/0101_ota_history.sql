-- +goose Up

-- 1 when the moments of a task that has ended are gone and its counters are put together.
ALTER TABLE ota_task ADD COLUMN trimmed SMALLINT NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE ota_task DROP COLUMN trimmed;
