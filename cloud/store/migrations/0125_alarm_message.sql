-- +goose Up

-- Until held a node sends a message to the channel. message is the one that a notice is part of, 0 before there is one: it stays when nobody
-- knows what became of it, so that it is sent again as the same.
ALTER TABLE alarm_channel ADD COLUMN held BIGINT NOT NULL DEFAULT 0;
ALTER TABLE alarm_notice ADD COLUMN message BIGINT NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE alarm_notice DROP COLUMN message;
ALTER TABLE alarm_channel DROP COLUMN held;
