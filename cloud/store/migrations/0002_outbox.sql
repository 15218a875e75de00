-- The outbox: what a group commit hands to the sinks, one blob row for each shard that it touched. SQLite has one
-- writing process and appends to one b-tree: seq is the row id, rising over all shards, because a key that starts with
-- the shard would dirty sixteen pages a commit. On PostgreSQL several nodes write: seq rises by one within each shard,
-- taken from outbox_head under its row lock at the very end of the transaction, so that a row with a lower seq is never
-- seen after one with a higher seq.

-- +goose Up
CREATE TABLE outbox (
    {{outbox_key}},
    blob {{blob}} NOT NULL
    {{outbox_primary}}
);

CREATE TABLE outbox_head (
    shard SMALLINT NOT NULL PRIMARY KEY,
    seq   BIGINT NOT NULL
);
INSERT INTO outbox_head (shard, seq) VALUES
    (0, 0), (1, 0), (2, 0), (3, 0), (4, 0), (5, 0), (6, 0), (7, 0),
    (8, 0), (9, 0), (10, 0), (11, 0), (12, 0), (13, 0), (14, 0), (15, 0);

CREATE TABLE outbox_cursor (
    consumer TEXT NOT NULL,
    shard    SMALLINT NOT NULL,
    seq      BIGINT NOT NULL,
    idx      BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (consumer, shard)
){{clustered}};

CREATE TABLE dead_letter (
    id         {{id}},
    action     BIGINT NOT NULL,
    message_id BIGINT NOT NULL,
    device     BIGINT NOT NULL,
    record     {{blob}} NOT NULL,
    error      TEXT NOT NULL,
    failed_at  BIGINT NOT NULL
);
CREATE INDEX dead_letter_by_action ON dead_letter (action, id);

-- +goose Down
DROP TABLE dead_letter;
DROP TABLE outbox_cursor;
DROP TABLE outbox_head;
DROP TABLE outbox;
