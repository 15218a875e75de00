-- +goose Up

-- When there is an alarm, and who is told. definition is JSON; the configuration of a channel is sealed, it holds passwords and URLs with tokens.
CREATE TABLE alarm_rule (
    id         {{id}},
    project    TEXT NOT NULL,
    name       TEXT NOT NULL,
    enabled    SMALLINT NOT NULL,
    definition TEXT NOT NULL,
    revision   BIGINT NOT NULL DEFAULT 1,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX alarm_rule_by_name ON alarm_rule (project, name);

-- next_at is when something may be sent again: one message carries all notices that have gathered until then. failures are those in a row.
CREATE TABLE alarm_channel (
    id            {{id}},
    project       TEXT NOT NULL,
    name          TEXT NOT NULL,
    kind          TEXT NOT NULL,
    config        {{blob}} NOT NULL,
    revision      BIGINT NOT NULL DEFAULT 1,
    created_at    BIGINT NOT NULL,
    updated_at    BIGINT NOT NULL,
    next_at       BIGINT NOT NULL DEFAULT 0,
    failures      BIGINT NOT NULL DEFAULT 0,
    last_error    TEXT NOT NULL DEFAULT '',
    last_error_at BIGINT NOT NULL DEFAULT 0,
    sent_at       BIGINT NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX alarm_channel_by_name ON alarm_channel (project, name);

-- An alarm is open until cleared_at; of one rule and subject (product/device, or nothing) one is open. seen counts what would have opened
-- it: the sub-devices of a gateway that is away. changed_at rises with each change.
CREATE TABLE alarm (
    id              {{id}},
    rule            BIGINT NOT NULL,
    rule_name       TEXT NOT NULL,
    project         TEXT NOT NULL,
    product         TEXT NOT NULL,
    subject         TEXT NOT NULL,
    severity        SMALLINT NOT NULL,
    text            TEXT NOT NULL,
    value           TEXT NOT NULL,
    seen            BIGINT NOT NULL DEFAULT 1,
    opened_at       BIGINT NOT NULL,
    acknowledged_at BIGINT NOT NULL DEFAULT 0,
    acknowledged_by TEXT NOT NULL DEFAULT '',
    cleared_at      BIGINT NOT NULL DEFAULT 0,
    cleared_by      TEXT NOT NULL DEFAULT '',
    changed_at      BIGINT NOT NULL
);
CREATE UNIQUE INDEX alarm_open ON alarm (rule, subject) WHERE cleared_at = 0;
CREATE INDEX alarm_by_project ON alarm (project, id);
CREATE INDEX alarm_by_change ON alarm (changed_at, id);
CREATE INDEX alarm_by_clearing ON alarm (cleared_at, id);

-- What may become an alarm: bits are the last judgements, the newest in the lowest bit; due is when it does if nothing changes (0: not by time).
CREATE TABLE alarm_pending (
    rule    BIGINT NOT NULL,
    subject TEXT NOT NULL,
    product TEXT NOT NULL,
    device  BIGINT NOT NULL,
    since   BIGINT NOT NULL,
    due     BIGINT NOT NULL,
    bits    BIGINT NOT NULL,
    value   TEXT NOT NULL,
    PRIMARY KEY (rule, subject)
){{clustered}};
CREATE INDEX alarm_pending_by_due ON alarm_pending (due) WHERE due > 0;

-- What is to be told: an alarm that was opened or cleared, on one channel.
CREATE TABLE alarm_notice (
    id      {{id}},
    channel BIGINT NOT NULL,
    alarm   BIGINT NOT NULL,
    cleared SMALLINT NOT NULL,
    at      BIGINT NOT NULL
);
CREATE INDEX alarm_notice_by_channel ON alarm_notice (channel, id);

INSERT INTO metric_turn (what, minute, node) VALUES ('alarms', 0, '');

-- +goose Down
DELETE FROM metric_turn WHERE what = 'alarms';
DROP TABLE alarm_notice;
DROP TABLE alarm_pending;
DROP TABLE alarm;
DROP TABLE alarm_channel;
DROP TABLE alarm_rule;
