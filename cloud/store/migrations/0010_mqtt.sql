-- +goose Up

-- packet: a QoS 2 publish of a persistent session whose message is committed and whose PUBREL has not come. The row comes
-- with the message's own commit, and goes before PUBCOMP.
CREATE TABLE receipt (
    device BIGINT NOT NULL,
    packet INTEGER NOT NULL,
    PRIMARY KEY (device, packet)
){{clustered}};

-- released: a QoS 2 message whose PUBREC has come, so that only PUBREL is left to send.
ALTER TABLE queue ADD COLUMN released SMALLINT NOT NULL DEFAULT 0;

-- expiry is how many seconds the session outlives its connection, 4294967295 for ever; ended_at is when that began.
ALTER TABLE session ADD COLUMN expiry BIGINT NOT NULL DEFAULT 4294967295;
ALTER TABLE session ADD COLUMN ended_at BIGINT NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE session DROP COLUMN ended_at;
ALTER TABLE session DROP COLUMN expiry;
ALTER TABLE queue DROP COLUMN released;
DROP TABLE receipt;
