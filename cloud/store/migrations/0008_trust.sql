-- Secrets at rest. Sealed values are bytes: SQLite keeps bytes in a TEXT column as they are, PostgreSQL needs another type.

-- +goose Up
{{only_postgres}} ALTER TABLE product ALTER COLUMN secret TYPE BYTEA USING convert_to(secret, 'UTF8');
{{only_postgres}} ALTER TABLE device ALTER COLUMN secret TYPE BYTEA USING convert_to(secret, 'UTF8');
{{only_postgres}} ALTER TABLE rule_action ALTER COLUMN config TYPE BYTEA USING convert_to(config, 'UTF8');

-- The keys of the keyring that something may be sealed under: a node that does not have one of them must not start. The row without
-- id is locked by whoever looks.
CREATE TABLE keyring_key (
    id      TEXT PRIMARY KEY,
    used_at BIGINT NOT NULL
);
INSERT INTO keyring_key (id, used_at) VALUES ('', 0);

-- Who signs certificates of devices. id is the SHA-256 of the certificate in hex; key is sealed, and empty when the authority is
-- somebody else's. The hub's own counts for every product, others for those in authority_product (proven: who registered it has
-- shown that they hold its key).
CREATE TABLE authority (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    cert       {{blob}} NOT NULL,
    key        {{blob}} NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    crl        {{blob}} NOT NULL,
    crl_number BIGINT NOT NULL DEFAULT 0,
    crl_at     BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE authority_product (
    product   TEXT NOT NULL,
    authority TEXT NOT NULL,
    proven    SMALLINT NOT NULL DEFAULT 0,
    added_at  BIGINT NOT NULL,
    PRIMARY KEY (product, authority)
){{clustered}};

-- What the hub's own authorities have issued, and of others what was revoked here. serial is hex.
CREATE TABLE certificate (
    authority   TEXT NOT NULL,
    serial      TEXT NOT NULL,
    device      BIGINT NOT NULL DEFAULT 0,
    product     TEXT NOT NULL DEFAULT '',
    sn          TEXT NOT NULL DEFAULT '',
    fingerprint TEXT NOT NULL DEFAULT '',
    issued_at   BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    revoked_at  BIGINT NOT NULL DEFAULT 0,
    reason      SMALLINT NOT NULL DEFAULT 0,
    PRIMARY KEY (authority, serial)
){{clustered}};
CREATE INDEX certificate_by_device ON certificate (device, issued_at);
CREATE INDEX certificate_by_product ON certificate (product, expires_at);

CREATE INDEX certificate_by_revocation ON certificate (revoked_at);

-- Nonces of logins that were used, until they would have expired.
CREATE TABLE nonce (
    id         TEXT PRIMARY KEY,
    expires_at BIGINT NOT NULL
);

-- +goose Down
DROP TABLE nonce;
DROP TABLE certificate;
DROP TABLE authority_product;
DROP TABLE authority;
DROP TABLE keyring_key;
