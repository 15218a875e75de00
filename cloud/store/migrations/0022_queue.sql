-- +goose Up

-- retain: 1 for a message that was published with RETAIN, 2 for one that is sent because it is retained. properties are those of MQTT 5.0
-- that go with it. member is, in a row of a shared subscription, who of its members has got it; '' is nobody.
ALTER TABLE queue ADD COLUMN retain SMALLINT NOT NULL DEFAULT 0;
ALTER TABLE queue ADD COLUMN properties {{blob}};
ALTER TABLE queue ADD COLUMN member TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE queue DROP COLUMN member;
ALTER TABLE queue DROP COLUMN properties;
ALTER TABLE queue DROP COLUMN retain;
