-- +goose Up

-- 1: campaigns of the project start when somebody else than their author has approved them.
ALTER TABLE project ADD COLUMN campaign_approval SMALLINT NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE project DROP COLUMN campaign_approval;
