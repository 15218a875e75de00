-- Parse scripts, with their last versions: a product's script is the row with its highest revision, unless that has no source,
-- which says that the script was taken away. Revisions are never used twice for a product.

-- +goose Up
CREATE TABLE script (
    product    TEXT NOT NULL,
    revision   BIGINT NOT NULL,
    source     TEXT NOT NULL,
    up         SMALLINT NOT NULL,
    down       SMALLINT NOT NULL,
    note       TEXT NOT NULL DEFAULT '',
    changed_by TEXT NOT NULL DEFAULT '',
    changed_at BIGINT NOT NULL,
    PRIMARY KEY (product, revision)
){{clustered}};

-- +goose Down
DROP TABLE script;
