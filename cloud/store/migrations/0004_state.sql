-- +goose Up

-- One document row a device each; revision rises by one with every change and is what guards compare.
CREATE TABLE shadow (
    device     {{id}},
    revision   BIGINT NOT NULL,
    version    BIGINT NOT NULL DEFAULT 0,
    doc        {{blob}} NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE latest (
    device     {{id}},
    revision   BIGINT NOT NULL,
    doc        {{blob}} NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE desired (
    device     {{id}},
    revision   BIGINT NOT NULL,
    doc        {{blob}} NOT NULL,
    updated_at BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE command_log (
    id         {{id}},
    device     BIGINT NOT NULL,
    request_id TEXT NOT NULL,
    identifier TEXT NOT NULL,
    input      TEXT NOT NULL DEFAULT '',
    output     TEXT NOT NULL DEFAULT '',
    code       BIGINT NOT NULL DEFAULT 0,
    status     TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    done_at    BIGINT NOT NULL DEFAULT 0,
    UNIQUE (device, request_id)
);
CREATE INDEX command_log_by_device ON command_log (device, id);

-- +goose Down
DROP TABLE command_log;
DROP TABLE desired;
DROP TABLE latest;
DROP TABLE shadow;
