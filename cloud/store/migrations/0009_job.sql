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

-- What was uploaded with a job, in pieces; it goes when the job has ended.
CREATE TABLE job_input (
    job  TEXT NOT NULL,
    seq  BIGINT NOT NULL,
    data {{blob}} NOT NULL,
    PRIMARY KEY (job, seq)
);

-- The outcome of each row, as pieces of CSV, one for each step of the work.
CREATE TABLE job_result (
    job  TEXT NOT NULL,
    seq  BIGINT NOT NULL,
    data {{blob}} NOT NULL,
    PRIMARY KEY (job, seq)
);

-- Answers to requests that carried an Idempotency-Key. status 0 is a request in hand, which holds the key until lease.
CREATE TABLE idempotency (
    caller     TEXT NOT NULL,
    key        TEXT NOT NULL,
    request    {{blob}} NOT NULL,
    status     BIGINT NOT NULL DEFAULT 0,
    answer     {{blob}},
    lease      BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (caller, key)
){{clustered}};
CREATE INDEX idempotency_by_age ON idempotency (created_at);

-- +goose Down
DROP TABLE idempotency;
DROP TABLE job_result;
DROP TABLE job_input;
DROP TABLE job;
