-- +goose Up

-- The version that a device must have at least before it takes a firmware; '' is any. Signed releases say so in their manifests.
ALTER TABLE firmware ADD COLUMN needs TEXT NOT NULL DEFAULT '';

-- The firmware that a deployment brings its device first, 0 is that of its task; and how many it has brought it before that.
ALTER TABLE ota_deployment ADD COLUMN via BIGINT NOT NULL DEFAULT 0;
ALTER TABLE ota_deployment ADD COLUMN stones SMALLINT NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE ota_deployment DROP COLUMN stones;
ALTER TABLE ota_deployment DROP COLUMN via;
ALTER TABLE firmware DROP COLUMN needs;
