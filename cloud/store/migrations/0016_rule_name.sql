-- Names of rules are unique in their project: who may not see a rule must not learn of it from a name that is refused. SQLite cannot
-- drop the constraint of a column, so the table is made anew for both. Nothing refers to it by a key.
-- +goose Up
CREATE TABLE rule_anew (
    id          {{id}},
    project     TEXT NOT NULL DEFAULT 'default',
    name        TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    sql         TEXT NOT NULL,
    enabled     SMALLINT NOT NULL DEFAULT 0,
    dialect     SMALLINT NOT NULL DEFAULT 2,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL,
    revision    BIGINT NOT NULL DEFAULT 1
);
INSERT INTO rule_anew (id, project, name, description, sql, enabled, dialect, created_at, updated_at, revision)
    SELECT id, project, name, description, sql, enabled, dialect, created_at, updated_at, revision FROM rule;
DROP TABLE rule;
ALTER TABLE rule_anew RENAME TO rule;
CREATE UNIQUE INDEX rule_by_name ON rule (project, name);

-- +goose Down
-- Of rules of the same name all but the oldest get their id behind it.
CREATE TABLE rule_anew (
    id          {{id}},
    name        TEXT NOT NULL UNIQUE,
    description TEXT NOT NULL DEFAULT '',
    sql         TEXT NOT NULL,
    enabled     SMALLINT NOT NULL DEFAULT 0,
    dialect     SMALLINT NOT NULL DEFAULT 2,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL,
    project     TEXT NOT NULL DEFAULT 'default',
    revision    BIGINT NOT NULL DEFAULT 1
);
INSERT INTO rule_anew (id, name, description, sql, enabled, dialect, created_at, updated_at, project, revision)
    SELECT r.id, CASE WHEN EXISTS (SELECT 1 FROM rule o WHERE o.name = r.name AND o.id < r.id) THEN r.name || ' ' || r.id ELSE r.name END,
        r.description, r.sql, r.enabled, r.dialect, r.created_at, r.updated_at, r.project, r.revision FROM rule r;
DROP TABLE rule;
ALTER TABLE rule_anew RENAME TO rule;
