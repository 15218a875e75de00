-- +goose Up

-- The states between an offer and its end for devices that say more than stock ones: 8 accepted, 9 staged, 10 armed, 11 rebooting, 12 trial;
-- and ends: 13 rejected, 14 timed_out (class is the state in which it was silent), 15 superseded. step is the last report's number within the
-- attempt; bytes what the device has downloaded in all; manifest 1 when it was offered a manifest; wave that of its campaign, 0 without one.
ALTER TABLE ota_deployment ADD COLUMN step BIGINT NOT NULL DEFAULT 0;
ALTER TABLE ota_deployment ADD COLUMN bytes BIGINT NOT NULL DEFAULT 0;
ALTER TABLE ota_deployment ADD COLUMN manifest SMALLINT NOT NULL DEFAULT 0;
ALTER TABLE ota_deployment ADD COLUMN wave SMALLINT NOT NULL DEFAULT 0;

-- How many devices of a task are where, kept by triggers. A row is one of the lanes in which PostgreSQL's connections count without waiting for
-- each other: the sum over them counts. offers and bytes are what was added while the devices came into the state.
CREATE TABLE ota_count (
    task   BIGINT NOT NULL,
    wave   SMALLINT NOT NULL,
    state  SMALLINT NOT NULL,
    class  TEXT NOT NULL,
    lane   SMALLINT NOT NULL,
    n      BIGINT NOT NULL DEFAULT 0,
    offers BIGINT NOT NULL DEFAULT 0,
    bytes  BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (task, wave, state, class, lane)
){{clustered}};

-- What has become of a device's deployment, a row for each change of its state, its class or its attempt; kept by triggers too.
CREATE TABLE ota_event (
    task     BIGINT NOT NULL,
    device   BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    at       BIGINT NOT NULL,
    state    SMALLINT NOT NULL,
    class    TEXT NOT NULL,
    code     BIGINT NOT NULL,
    attempt  BIGINT NOT NULL,
    PRIMARY KEY (task, device, revision)
){{clustered}};

INSERT INTO ota_count (task, wave, state, class, lane, n, offers) SELECT task, 0, state, class, 0, COUNT(*), SUM(attempt) FROM ota_deployment GROUP BY task, state, class;

{{ota_triggers}}

-- +goose Down
{{ota_triggers_drop}}
DROP TABLE ota_event;
DROP TABLE ota_count;
-- What the columns said is lost with them: rows go back to what the states before them were.
UPDATE ota_deployment SET state = CASE WHEN state = 8 THEN 1 WHEN state IN (9, 10, 11, 12) THEN 3 WHEN state IN (13, 14) THEN 5 ELSE 6 END WHERE state >= 8;
ALTER TABLE ota_deployment DROP COLUMN wave;
ALTER TABLE ota_deployment DROP COLUMN manifest;
ALTER TABLE ota_deployment DROP COLUMN bytes;
ALTER TABLE ota_deployment DROP COLUMN step;
