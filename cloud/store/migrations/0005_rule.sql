-- +goose Up
CREATE TABLE rule (
    id          {{id}},
    name        TEXT NOT NULL UNIQUE,
    description TEXT NOT NULL DEFAULT '',
    sql         TEXT NOT NULL,
    enabled     SMALLINT NOT NULL DEFAULT 0,
    dialect     SMALLINT NOT NULL DEFAULT 2,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL
);

CREATE TABLE rule_action (
    id       {{id}},
    rule     BIGINT NOT NULL,
    kind     TEXT NOT NULL,
    config   TEXT NOT NULL,
    position BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX rule_action_by_rule ON rule_action (rule, position);

-- +goose Down
DROP TABLE rule_action;
DROP TABLE rule;
