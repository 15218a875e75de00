-- +goose Up

-- state: 0 uploading, 1 queued, 2 running, 3 done, 4 failed, 5 cancelled. A running job belongs to the node that holds
-- its lease; epoch rises with each claim and is what every write of the job's worker compares. place is where the work
-- goes on, in the kind's own words; it is stored in the transaction that did the rows before it. busy is how long the
-- job was worked on, in milliseconds; tries counts the claims since the last progress.
CREATE TABLE job (
    id          TEXT PRIMARY KEY,
    kind        TEXT NOT NULL,
    project     TEXT NOT NULL DEFAULT 'default',
    product     TEXT NOT NULL DEFAULT '',
    owner       TEXT NOT NULL DEFAULT '',
    spec        TEXT NOT NULL DEFAULT '',
    dry_run     SMALLINT NOT NULL DEFAULT 0,
    state       SMALLINT NOT NULL,
    total       BIGINT NOT NULL DEFAULT -1,
    succeeded   BIGINT NOT NULL DEFAULT 0,
    failed      BIGINT NOT NULL DEFAULT 0,
    errors      TEXT NOT NULL DEFAULT '',
    place       TEXT NOT NULL DEFAULT '',
    error       TEXT NOT NULL DEFAULT '',
    cancel      SMALLINT NOT NULL DEFAULT 0,
    node        TEXT NOT NULL DEFAULT '',
    lease       BIGINT NOT NULL DEFAULT 0,
    epoch       BIGINT NOT NULL DEFAULT 0,
    tries       BIGINT NOT NULL DEFAULT 0,
    chunks      BIGINT NOT NULL DEFAULT 0,
    busy        BIGINT NOT NULL DEFAULT 0,
    created_at  BIGINT NOT NULL,
    started_at  BIGINT NOT NULL DEFAULT 0,
    updated_at  BIGINT NOT NULL DEFAULT 0,
    finished_at BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX job_by_state ON job (state, id);
CREATE INDEX job_by_project ON job (project, id);

-- What was uploaded with a job, in sealed pieces; it goes when the job has ended. id is the job's and the piece's number.
CREATE TABLE job_input (
    id   TEXT PRIMARY KEY,
    job  TEXT NOT NULL,
    data {{blob}} NOT NULL
);
CREATE INDEX job_input_by_job ON job_input (job);

-- The outcome of each row, as sealed pieces of CSV, one for each step of the work.
CREATE TABLE job_result (
    id   TEXT PRIMARY KEY,
    job  TEXT NOT NULL,
    data {{blob}} NOT NULL
);
CREATE INDEX job_result_by_job ON job_result (job);

-- Answers to requests that carried an Idempotency-Key; id is the caller and the key. status 0 is a request in hand, which
-- holds the key until lease. answer is sealed: it may hold a new secret.
CREATE TABLE idempotency (
    id         TEXT PRIMARY KEY,
    caller     TEXT NOT NULL,
    request    {{blob}} NOT NULL,
    status     BIGINT NOT NULL DEFAULT 0,
    answer     {{blob}} NOT NULL,
    lease      BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL
);
CREATE INDEX idempotency_by_age ON idempotency (created_at);
CREATE INDEX idempotency_by_caller ON idempotency (caller, created_at);

-- revision rises with each change of the rule.
ALTER TABLE rule ADD COLUMN revision BIGINT NOT NULL DEFAULT 1;

-- +goose Down
ALTER TABLE rule DROP COLUMN revision;
DROP TABLE idempotency;
DROP TABLE job_result;
DROP TABLE job_input;
DROP TABLE job;
