-- +goose Up

-- Nodes that keep a message log, which is in files of their own: whom to ask, and whom one misses.
CREATE TABLE message_log_node (
    node    TEXT NOT NULL PRIMARY KEY,
    seen_at BIGINT NOT NULL
){{clustered}};

-- +goose Down
DROP TABLE message_log_node;
