-- Who delivers what the outbox holds: of each shard one node. The row of a consumer for a shard is the lease on it too: epoch
-- rises with each claim, and what the one who delivers writes is conditional on it. beat rises for as long as a node lives.

-- +goose Up
ALTER TABLE outbox_cursor ADD COLUMN node TEXT NOT NULL DEFAULT '';
ALTER TABLE outbox_cursor ADD COLUMN epoch BIGINT NOT NULL DEFAULT 0;
CREATE TABLE outbox_node (
    node TEXT NOT NULL PRIMARY KEY,
    beat BIGINT NOT NULL
){{clustered}};

-- +goose Down
DROP TABLE outbox_node;
ALTER TABLE outbox_cursor DROP COLUMN epoch;
ALTER TABLE outbox_cursor DROP COLUMN node;
