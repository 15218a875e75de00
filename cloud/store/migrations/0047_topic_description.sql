-- +goose Up

-- What a custom topic is for, in the words of who made it.
ALTER TABLE product_topic ADD COLUMN description TEXT NOT NULL DEFAULT '';

-- The files of all devices of a product.
CREATE INDEX device_file_by_product ON device_file (product, id);

-- +goose Down
DROP INDEX device_file_by_product;
ALTER TABLE product_topic DROP COLUMN description;
