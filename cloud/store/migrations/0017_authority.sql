-- The hub may have several authorities of its own: one that issues, and others that are still trusted for what they issued until
-- they end or are retired. Which one issues was a setting.
-- +goose Up
ALTER TABLE authority ADD COLUMN retired_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE authority ADD COLUMN issues SMALLINT NOT NULL DEFAULT 0;
UPDATE authority SET issues = 1 WHERE length(key) > 0;
DELETE FROM setting WHERE key = 'authority.own';
CREATE UNIQUE INDEX authority_issues ON authority (issues) WHERE issues = 1;

-- +goose Down
INSERT INTO setting (key, value) SELECT 'authority.own', CAST(id AS {{blob}}) FROM authority WHERE issues = 1;
DROP INDEX authority_issues;
ALTER TABLE authority DROP COLUMN issues;
ALTER TABLE authority DROP COLUMN retired_at;
