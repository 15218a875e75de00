-- +goose Up

-- Versions of what agents are to work with: of one device, of a group's members, or of a product's devices (the other two are 0 or ''). The highest
-- revision counts; an empty document says that it was taken away. Documents are sealed, they hold secrets of sub-devices.
CREATE TABLE agent_config (
    id         {{id}},
    device     BIGINT NOT NULL DEFAULT 0,
    grp        BIGINT NOT NULL DEFAULT 0,
    product    TEXT NOT NULL DEFAULT '',
    revision   BIGINT NOT NULL,
    document   {{blob}} NOT NULL,
    note       TEXT NOT NULL DEFAULT '',
    changed_by TEXT NOT NULL DEFAULT '',
    changed_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX agent_config_by_target ON agent_config (device, grp, product, revision);

-- What was offered to an agent last, under which counter, and what it has told: what runs, and what became (state) of the offer that it names (told).
CREATE TABLE agent_config_state (
    device     BIGINT PRIMARY KEY,
    offered    TEXT NOT NULL DEFAULT '',
    counter    BIGINT NOT NULL DEFAULT 0,
    offered_at BIGINT NOT NULL DEFAULT 0,
    running    TEXT NOT NULL DEFAULT '',
    told       TEXT NOT NULL DEFAULT '',
    state      TEXT NOT NULL DEFAULT '',
    reason     TEXT NOT NULL DEFAULT '',
    detail     TEXT NOT NULL DEFAULT '',
    told_at    BIGINT NOT NULL DEFAULT 0
);

-- The last request for a bundle of each agent.
CREATE TABLE agent_diagnosis (
    device   BIGINT PRIMARY KEY,
    request  TEXT NOT NULL,
    state    TEXT NOT NULL,
    reason   TEXT NOT NULL DEFAULT '',
    file     TEXT NOT NULL DEFAULT '',
    size     BIGINT NOT NULL DEFAULT 0,
    asked_by TEXT NOT NULL DEFAULT '',
    asked_at BIGINT NOT NULL,
    told_at  BIGINT NOT NULL DEFAULT 0
);

-- +goose Down
DROP TABLE agent_diagnosis;
DROP TABLE agent_config_state;
DROP TABLE agent_config;
