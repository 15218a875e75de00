-- Connectors: addresses and credentials of the targets of rules, apart from the rules that use them. Which connector an action uses stands
-- beside its sealed configuration, so that one that is used is not deleted. 0 is none.
-- +goose Up
CREATE TABLE connector (
    id          {{id}},
    project     TEXT NOT NULL,
    name        TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    kind        TEXT NOT NULL,
    config      {{blob}} NOT NULL,
    revision    BIGINT NOT NULL DEFAULT 1,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL
);
CREATE UNIQUE INDEX connector_by_name ON connector (project, name);
ALTER TABLE rule_action ADD COLUMN connector BIGINT NOT NULL DEFAULT 0;
CREATE INDEX rule_action_by_connector ON rule_action (connector) WHERE connector <> 0;

-- +goose Down
DROP INDEX rule_action_by_connector;
ALTER TABLE rule_action DROP COLUMN connector;
DROP TABLE connector;
