-- +goose Up

-- How many bytes of a file that comes in parts were stored when the hub looked last, and when that became more. sum is the state of a SHA-256 over
-- its first sum_at bytes; empty when no such state is kept.
ALTER TABLE upload_session ADD COLUMN stored BIGINT NOT NULL DEFAULT 0;
ALTER TABLE upload_session ADD COLUMN progress_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE upload_session ADD COLUMN sum_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE upload_session ADD COLUMN sum TEXT NOT NULL DEFAULT '';

CREATE INDEX device_file_coming ON device_file (product, id) WHERE state = 0;

-- A file that an operator did not want: until then the device is refused when it begins the same again.
CREATE TABLE upload_cancelled (
    device  BIGINT NOT NULL,
    res_key TEXT NOT NULL,
    sha256  TEXT NOT NULL,
    until   BIGINT NOT NULL,
    PRIMARY KEY (device, res_key)
){{clustered}};

-- +goose Down
DROP TABLE upload_cancelled;
DROP INDEX device_file_coming;
ALTER TABLE upload_session DROP COLUMN sum;
ALTER TABLE upload_session DROP COLUMN sum_at;
ALTER TABLE upload_session DROP COLUMN progress_at;
ALTER TABLE upload_session DROP COLUMN stored;
