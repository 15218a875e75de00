-- How actions' records are delivered, and what is known of those that were not.
--
-- role is 0 for an action, 1 for the rule's error action, 2 for the fallback of the action parent. options is JSON, '' for the
-- defaults. key is that of the record, so that one is a dead letter once; failures is JSON. action_full names the actions that
-- take no more, by the node that says so.

-- +goose Up
ALTER TABLE rule_action ADD COLUMN options TEXT NOT NULL DEFAULT '';
ALTER TABLE rule_action ADD COLUMN role SMALLINT NOT NULL DEFAULT 0;
ALTER TABLE rule_action ADD COLUMN parent BIGINT NOT NULL DEFAULT 0;

ALTER TABLE dead_letter ADD COLUMN rule BIGINT NOT NULL DEFAULT 0;
ALTER TABLE dead_letter ADD COLUMN key TEXT NOT NULL DEFAULT '';
ALTER TABLE dead_letter ADD COLUMN attempts BIGINT NOT NULL DEFAULT 0;
ALTER TABLE dead_letter ADD COLUMN failures TEXT NOT NULL DEFAULT '';
ALTER TABLE dead_letter ADD COLUMN size BIGINT NOT NULL DEFAULT 0;
UPDATE dead_letter SET size = LENGTH(record), rule = COALESCE((SELECT rule FROM rule_action WHERE rule_action.id = dead_letter.action), 0);
CREATE UNIQUE INDEX dead_letter_by_key ON dead_letter (key) WHERE key <> '';
CREATE INDEX dead_letter_by_rule ON dead_letter (rule, id);
CREATE INDEX dead_letter_by_device ON dead_letter (device, id);
CREATE INDEX dead_letter_by_time ON dead_letter (failed_at);

CREATE TABLE action_full (
    action BIGINT NOT NULL,
    node   TEXT NOT NULL,
    PRIMARY KEY (action, node)
){{clustered}};

-- rule_version has one row, whose n rises with each change of a rule, so that other nodes see that there was one.
CREATE TABLE rule_version (
    id {{id}},
    n  BIGINT NOT NULL
);
INSERT INTO rule_version (id, n) VALUES (1, 0);

-- +goose Down
DROP TABLE rule_version;
DROP TABLE action_full;
DROP INDEX dead_letter_by_time;
DROP INDEX dead_letter_by_device;
DROP INDEX dead_letter_by_rule;
DROP INDEX dead_letter_by_key;
ALTER TABLE dead_letter DROP COLUMN size;
ALTER TABLE dead_letter DROP COLUMN failures;
ALTER TABLE dead_letter DROP COLUMN attempts;
ALTER TABLE dead_letter DROP COLUMN key;
ALTER TABLE dead_letter DROP COLUMN rule;
ALTER TABLE rule_action DROP COLUMN parent;
ALTER TABLE rule_action DROP COLUMN role;
ALTER TABLE rule_action DROP COLUMN options;
