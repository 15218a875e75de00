-- +goose Up

-- Retained messages, the last of each topic. device is whose topic it is; properties are those of MQTT 5.0 as the publisher
-- gave them; size is what counts against the product's bound.
CREATE TABLE retained (
    product    TEXT{{bytewise}} NOT NULL,
    topic      TEXT{{bytewise}} NOT NULL,
    device     BIGINT NOT NULL,
    message_id BIGINT NOT NULL,
    payload    {{blob}} NOT NULL,
    qos        SMALLINT NOT NULL,
    properties {{blob}} NOT NULL,
    size       BIGINT NOT NULL,
    expires_at BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (product, topic)
){{clustered}};
CREATE INDEX retained_by_device ON retained (device);
CREATE INDEX retained_by_expiry ON retained (expires_at) WHERE expires_at <> 0;

-- +goose Down
DROP TABLE retained;
