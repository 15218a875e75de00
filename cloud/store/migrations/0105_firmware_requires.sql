-- +goose Up

-- What other modules of a device must be before it takes a firmware: a JSON object of ranges of versions by module; '' is nothing. Signed releases say so in
-- their manifests.
ALTER TABLE firmware ADD COLUMN requires TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE firmware DROP COLUMN requires;
