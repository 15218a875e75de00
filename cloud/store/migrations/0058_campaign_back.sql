-- +goose Up

-- The wave that is still to be brought back once a campaign that was stopped has cancelled what its devices had not finished.
ALTER TABLE ota_campaign ADD COLUMN back SMALLINT NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE ota_campaign DROP COLUMN back;
