-- +goose Up

-- Director keys that the hub signs with no more: their public halves. Their private halves are gone.
CREATE TABLE director_retired (
    key_id     TEXT PRIMARY KEY,
    public     {{blob}} NOT NULL,
    created_at BIGINT NOT NULL,
    retired_at BIGINT NOT NULL
);

-- +goose Down
DROP TABLE director_retired;
