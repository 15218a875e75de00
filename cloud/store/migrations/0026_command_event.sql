-- Commands that wait for their device, more of what is known of a call, and the events that devices posted.
--
-- status is queued, sent, succeeded, failed, expired or cancelled. due_at is when it ends by itself: that of a queued one
-- its expires_at, that of a sent one the end of the time that the device has (timeout ms). late says that the answer came
-- after that; answered that there was one.

-- +goose Up
ALTER TABLE command_log ADD COLUMN caller TEXT NOT NULL DEFAULT '';
ALTER TABLE command_log ADD COLUMN job TEXT NOT NULL DEFAULT '';
ALTER TABLE command_log ADD COLUMN message TEXT NOT NULL DEFAULT '';
ALTER TABLE command_log ADD COLUMN async SMALLINT NOT NULL DEFAULT 0;
ALTER TABLE command_log ADD COLUMN answered SMALLINT NOT NULL DEFAULT 0;
ALTER TABLE command_log ADD COLUMN late SMALLINT NOT NULL DEFAULT 0;
ALTER TABLE command_log ADD COLUMN timeout BIGINT NOT NULL DEFAULT 5000;
ALTER TABLE command_log ADD COLUMN sent_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE command_log ADD COLUMN expires_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE command_log ADD COLUMN due_at BIGINT NOT NULL DEFAULT 0;
UPDATE command_log SET sent_at = created_at, due_at = created_at + 5000;
UPDATE command_log SET answered = 1 WHERE status IN ('done', 'bad');
UPDATE command_log SET status = 'succeeded' WHERE status = 'done' AND code = 0;
UPDATE command_log SET status = 'failed' WHERE status IN ('done', 'bad', 'timeout');
CREATE INDEX command_log_due ON command_log (due_at) WHERE status IN ('queued', 'sent');
CREATE INDEX command_log_queued ON command_log (device, id) WHERE status = 'queued';
CREATE INDEX command_log_by_time ON command_log (created_at);

-- id is the number of the message; at is the device's time, received_at the hub's.
CREATE TABLE event_record (
    id          {{id}},
    device      BIGINT NOT NULL,
    identifier  TEXT NOT NULL,
    type        TEXT NOT NULL,
    output      TEXT NOT NULL DEFAULT '',
    at          BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX event_record_by_device ON event_record (device, id);
CREATE INDEX event_record_by_time ON event_record (created_at);

-- +goose Down
DROP TABLE event_record;
DROP INDEX command_log_by_time;
DROP INDEX command_log_queued;
DROP INDEX command_log_due;
ALTER TABLE command_log DROP COLUMN due_at;
ALTER TABLE command_log DROP COLUMN expires_at;
ALTER TABLE command_log DROP COLUMN sent_at;
ALTER TABLE command_log DROP COLUMN timeout;
ALTER TABLE command_log DROP COLUMN late;
ALTER TABLE command_log DROP COLUMN answered;
ALTER TABLE command_log DROP COLUMN async;
ALTER TABLE command_log DROP COLUMN message;
ALTER TABLE command_log DROP COLUMN job;
ALTER TABLE command_log DROP COLUMN caller;
