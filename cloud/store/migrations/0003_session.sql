-- +goose Up

-- epoch fences: a unit that carries another epoch than its device's row is refused inside the transaction.
CREATE TABLE session (
    device       {{id}},
    epoch        BIGINT NOT NULL,
    node         TEXT NOT NULL DEFAULT '',
    client       TEXT NOT NULL DEFAULT '',
    persistent   SMALLINT NOT NULL DEFAULT 0,
    subs         {{blob}},
    remote       TEXT NOT NULL DEFAULT '',
    keep_alive   INTEGER NOT NULL DEFAULT 0,
    connected_at BIGINT NOT NULL DEFAULT 0,
    online       SMALLINT NOT NULL DEFAULT 0
);

-- seq is given by the owner of the device's queue, rising; expires_at 0 means never.
CREATE TABLE queue (
    device     BIGINT NOT NULL,
    seq        BIGINT NOT NULL,
    message_id BIGINT NOT NULL DEFAULT 0,
    topic      TEXT NOT NULL,
    payload    {{blob}} NOT NULL,
    qos        SMALLINT NOT NULL DEFAULT 0,
    kind       SMALLINT NOT NULL DEFAULT 0,
    expires_at BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (device, seq)
){{clustered}};

-- +goose Down
DROP TABLE queue;
DROP TABLE session;
