-- What was published of a product's thing model, one row for each publishing; number counts from 1 for each product.

-- +goose Up
CREATE TABLE thing_model_version (
    product      TEXT NOT NULL,
    number       BIGINT NOT NULL,
    template     TEXT NOT NULL,
    note         TEXT NOT NULL DEFAULT '',
    published_by TEXT NOT NULL DEFAULT '',
    published_at BIGINT NOT NULL,
    PRIMARY KEY (product, number)
){{clustered}};
-- Products that are published already have what they published as their first version.
INSERT INTO thing_model_version (product, number, template, published_at) SELECT sn, 1, template, updated_at FROM product WHERE published = 1;

-- +goose Down
DROP TABLE thing_model_version;
