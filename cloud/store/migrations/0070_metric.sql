-- +goose Up

-- Counts over time: of a scope ("" is the hub, /project, a productSN, #rule) one row for each hour of minutes (step 60) and node, or each
-- day of quarters of an hour (step 900). start is Unix seconds. Gauges that are of the store and not of a node have the node "".
CREATE TABLE metric_chunk (
    scope TEXT NOT NULL{{bytewise}},
    step  INTEGER NOT NULL,
    start BIGINT NOT NULL,
    node  TEXT NOT NULL{{bytewise}},
    data  {{blob}} NOT NULL,
    PRIMARY KEY (scope, step, start, node)
){{clustered}};
CREATE INDEX metric_chunk_by_start ON metric_chunk (step, start, scope);

-- The errors of a node in an hour (start, Unix seconds), as JSON.
CREATE TABLE metric_error (
    start BIGINT NOT NULL,
    node  TEXT NOT NULL,
    data  {{blob}} NOT NULL,
    PRIMARY KEY (start, node)
){{clustered}};

-- What is done once a minute by one node of all: who has done it last, and for which minute.
CREATE TABLE metric_turn (
    what   TEXT NOT NULL PRIMARY KEY,
    minute BIGINT NOT NULL,
    node   TEXT NOT NULL
);
INSERT INTO metric_turn (what, minute, node) VALUES ('devices', 0, '');

-- How each hub is doing, as it says itself every few seconds.
CREATE TABLE hub_node (
    node    TEXT NOT NULL PRIMARY KEY,
    seen_at BIGINT NOT NULL,
    health  {{blob}} NOT NULL
);

-- +goose Down
DROP TABLE hub_node;
DROP TABLE metric_turn;
DROP TABLE metric_error;
DROP TABLE metric_chunk;
