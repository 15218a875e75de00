-- +goose Up

-- The last QoS 1 publishes of a persistent session, by packet id modulo 16: how a repeat is known. mark is the packet id (the upper 32
-- bits) and a checksum of topic and payload, message the MessageID. The row comes with the message's own commit. Its columns may be NULL only so that SQLite needs no copy of
-- the page for undoing the statement.
CREATE TABLE origin (
    device  BIGINT NOT NULL,
    slot    SMALLINT NOT NULL,
    mark    BIGINT,
    message BIGINT,
    PRIMARY KEY (device, slot)
){{clustered}};

-- +goose Down
DROP TABLE origin;
