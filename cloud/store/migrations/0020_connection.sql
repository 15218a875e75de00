-- A session's history is one row, written at its end: until then the open row of session is the record, over a crash, too.
-- +goose Up

-- began and ended are the reasons; ended is '' when another login took over, which is no Offline.
CREATE TABLE device_connection (
    device    BIGINT NOT NULL,
    epoch     BIGINT NOT NULL,
    began_at  BIGINT NOT NULL,
    ended_at  BIGINT NOT NULL,
    began     TEXT NOT NULL,
    ended     TEXT NOT NULL,
    remote    TEXT NOT NULL,
    transport TEXT NOT NULL,
    protocol  TEXT NOT NULL,
    PRIMARY KEY (device, epoch)
){{clustered}};

ALTER TABLE session ADD COLUMN began TEXT NOT NULL DEFAULT '';
ALTER TABLE session ADD COLUMN transport TEXT NOT NULL DEFAULT '';
ALTER TABLE session ADD COLUMN protocol TEXT NOT NULL DEFAULT '';
UPDATE session SET
    began = (SELECT h.reason FROM device_history h WHERE h.device = session.device AND h.epoch = session.epoch AND h.event = 0),
    transport = (SELECT h.transport FROM device_history h WHERE h.device = session.device AND h.epoch = session.epoch AND h.event = 0),
    protocol = (SELECT h.protocol FROM device_history h WHERE h.device = session.device AND h.epoch = session.epoch AND h.event = 0)
    WHERE online = 1 AND EXISTS (SELECT 1 FROM device_history h WHERE h.device = session.device AND h.epoch = session.epoch AND h.event = 0);
INSERT INTO device_connection (device, epoch, began_at, ended_at, began, ended, remote, transport, protocol)
    SELECT b.device, b.epoch, b.at, COALESCE(e.at, b.at), b.reason, COALESCE(e.reason, ''), b.remote, b.transport, b.protocol
    FROM device_history b LEFT JOIN device_history e ON e.device = b.device AND e.epoch = b.epoch AND e.event = 1
    WHERE b.event = 0 AND NOT EXISTS (SELECT 1 FROM session s WHERE s.device = b.device AND s.epoch = b.epoch AND s.online = 1);
CREATE INDEX device_connection_by_end ON device_connection (ended_at, device);
DROP TABLE device_history;
{{count_update}}

-- +goose Down
{{count_update_before}}
CREATE TABLE device_history (
    device    BIGINT NOT NULL,
    epoch     BIGINT NOT NULL,
    event     SMALLINT NOT NULL,
    at        BIGINT NOT NULL,
    reason    TEXT NOT NULL,
    remote    TEXT NOT NULL DEFAULT '',
    transport TEXT NOT NULL DEFAULT '',
    protocol  TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (device, epoch, event)
){{clustered}};
INSERT INTO device_history (device, epoch, event, at, reason, remote, transport, protocol)
    SELECT device, epoch, 0, began_at, began, remote, transport, protocol FROM device_connection;
INSERT INTO device_history (device, epoch, event, at, reason, remote, transport, protocol)
    SELECT device, epoch, 1, ended_at, ended, remote, transport, protocol FROM device_connection WHERE ended <> '';
INSERT INTO device_history (device, epoch, event, at, reason, remote, transport, protocol)
    SELECT device, epoch, 0, connected_at, began, remote, transport, protocol FROM session WHERE online = 1;
CREATE INDEX device_history_by_time ON device_history (at, device);
ALTER TABLE session DROP COLUMN protocol;
ALTER TABLE session DROP COLUMN transport;
ALTER TABLE session DROP COLUMN began;
DROP TABLE device_connection;
