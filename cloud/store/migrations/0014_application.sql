-- +goose Up

-- Persistent sessions of applications. id is below 0 and that of their rows in queue; products is * or ProductSNs with commas
-- between; subs is as in session.
CREATE TABLE application (
    id         {{id}},
    identity   TEXT NOT NULL UNIQUE,
    key_id     TEXT NOT NULL,
    project    TEXT NOT NULL,
    products   TEXT NOT NULL,
    subs       {{blob}} NOT NULL,
    node       TEXT NOT NULL DEFAULT '',
    updated_at BIGINT NOT NULL
);
CREATE INDEX application_by_update ON application (updated_at);

-- +goose Down
DROP TABLE application;
