-- +goose Up

-- Key pairs: API keys that sign requests instead of being shown. To check a signature the private key is needed itself, so that it
-- is sealed and not hashed.
ALTER TABLE api_key ADD COLUMN pair SMALLINT NOT NULL DEFAULT 0;
CREATE TABLE api_key_pair (
    id     TEXT PRIMARY KEY,
    secret {{blob}} NOT NULL
);

-- +goose Down
DROP TABLE api_key_pair;
ALTER TABLE api_key DROP COLUMN pair;
