-- +goose Up

-- Nodes that keep a history of properties, which is in files of their own: whom to ask, and whom one misses.
CREATE TABLE series_node (
    node    TEXT NOT NULL PRIMARY KEY,
    seen_at BIGINT NOT NULL
){{clustered}};

-- +goose Down
DROP TABLE series_node;
