-- +goose Up

-- The last changes of a shadow: a ring, whose slot follows from the revision. actor is 1 the device, 2 a user, 3 an API key, 0 the hub
-- itself; name is the user's or the key's id. change is JSON: what became of which keys.
CREATE TABLE shadow_history (
    device   BIGINT NOT NULL,
    slot     INTEGER NOT NULL,
    revision BIGINT NOT NULL,
    version  BIGINT NOT NULL,
    at       BIGINT NOT NULL,
    actor    SMALLINT NOT NULL,
    name     TEXT NOT NULL,
    change   {{blob}} NOT NULL,
    PRIMARY KEY (device, slot)
){{clustered}};

-- +goose Down
DROP TABLE shadow_history;
