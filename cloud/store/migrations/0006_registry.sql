-- Projects, revisions, tags, groups, connection history, and what fleet queries walk.
--
-- revision rises with each change that the API shows, not with presence. settings is what a product sets for itself of the
-- hub's limits, as JSON. tags is the device's tags as JSON; device_term has the same for searching.

-- +goose Up
ALTER TABLE product ADD COLUMN project TEXT NOT NULL DEFAULT 'default';
ALTER TABLE product ADD COLUMN revision BIGINT NOT NULL DEFAULT 1;
ALTER TABLE product ADD COLUMN settings TEXT NOT NULL DEFAULT '';
CREATE INDEX product_by_project ON product (project, created_at, sn);

ALTER TABLE device ADD COLUMN project TEXT NOT NULL DEFAULT 'default';
ALTER TABLE device ADD COLUMN revision BIGINT NOT NULL DEFAULT 1;
ALTER TABLE device ADD COLUMN tags TEXT NOT NULL DEFAULT '';
CREATE INDEX device_by_seen ON device (project, last_seen, id);

-- What a device is found by, beside its state: term is 'sn', 'name' (ASCII letters in lower case) or 'tag.' and a tag's name.
-- It is a table of its own because PostgreSQL writes every index of a row whose state changes. Values are in byte order.
CREATE TABLE device_term (
    project TEXT NOT NULL,
    term    TEXT{{bytewise}} NOT NULL,
    value   TEXT{{bytewise}} NOT NULL,
    device  BIGINT NOT NULL,
    PRIMARY KEY (project, term, value, device)
){{clustered}};
INSERT INTO device_term (project, term, value, device) SELECT project, 'sn', sn, id FROM device;
INSERT INTO device_term (project, term, value, device) SELECT project, 'name', lower(name{{bytewise}}), id FROM device;

-- How many devices each product has in each state, kept by triggers: counting a million rows takes longer than anybody waits.
-- On SQLite device_count is exact by itself. On PostgreSQL, where nodes would wait for each other's counters, changes are
-- rows of device_count_delta, which the registry adds up from time to time; the sum of both tables is exact.
CREATE TABLE device_count (
    product TEXT NOT NULL,
    state   SMALLINT NOT NULL,
    n       BIGINT NOT NULL,
    PRIMARY KEY (product, state)
){{clustered}};
CREATE TABLE device_count_delta (
    id      {{serial}},
    product TEXT NOT NULL,
    state   SMALLINT NOT NULL,
    n       BIGINT NOT NULL
);
INSERT INTO device_count (product, state, n) SELECT p.sn, s.state, (SELECT COUNT(*) FROM device d WHERE d.product = p.sn AND d.state = s.state)
    FROM product p, (SELECT 0 AS state UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3) AS s;
{{count_triggers}}

-- filter is '' for a group of explicit members.
CREATE TABLE device_group (
    id          {{id}},
    project     TEXT NOT NULL DEFAULT 'default',
    name        TEXT{{bytewise}} NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    filter      TEXT NOT NULL DEFAULT '',
    revision    BIGINT NOT NULL DEFAULT 1,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL,
    UNIQUE (project, name)
);

CREATE TABLE device_group_member (
    grp    BIGINT NOT NULL,
    device BIGINT NOT NULL,
    PRIMARY KEY (grp, device)
){{clustered}};
CREATE INDEX device_group_member_by_device ON device_group_member (device);

-- One row for a session's begin (event 0) and one for its end (event 1); the epoch is the session's.
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
CREATE INDEX device_history_by_time ON device_history (at, device);

-- +goose Down
DROP TABLE device_history;
DROP TABLE device_group_member;
DROP TABLE device_group;
{{count_triggers_drop}}
DROP TABLE device_count_delta;
DROP TABLE device_count;
DROP TABLE device_term;
DROP INDEX device_by_seen;
ALTER TABLE device DROP COLUMN tags;
ALTER TABLE device DROP COLUMN revision;
ALTER TABLE device DROP COLUMN project;
DROP INDEX product_by_project;
ALTER TABLE product DROP COLUMN settings;
ALTER TABLE product DROP COLUMN revision;
ALTER TABLE product DROP COLUMN project;
