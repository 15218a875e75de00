-- What the messages of a rule are: json, or binary, whose bytes pass through.
-- +goose Up
ALTER TABLE rule ADD COLUMN data_type TEXT NOT NULL DEFAULT 'json';

-- +goose Down
ALTER TABLE rule DROP COLUMN data_type;
