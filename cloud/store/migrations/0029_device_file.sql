-- +goose Up

-- Files that devices have sent, or have been let send: state 0 is a permission that ends at expires_at, 1 a file that is there whole
-- and has the checksum that the device named. The blob's name follows from product and id.
CREATE TABLE device_file (
    id           {{id}},
    device       BIGINT NOT NULL,
    product      TEXT NOT NULL,
    name         TEXT NOT NULL,
    size         BIGINT NOT NULL,
    md5          TEXT NOT NULL,
    content_type TEXT NOT NULL,
    state        SMALLINT NOT NULL DEFAULT 0,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL DEFAULT 0,
    received_at  BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX device_file_by_device ON device_file (device, id);
CREATE INDEX device_file_by_expiry ON device_file (expires_at) WHERE expires_at <> 0;

-- Tokens of devices over HTTP are signed under the keyring.
DELETE FROM setting WHERE key = 'ingress.token_key';

-- +goose Down
DROP TABLE device_file;
