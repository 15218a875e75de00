-- +goose Up

ALTER TABLE device_file ADD COLUMN sha256 TEXT NOT NULL DEFAULT '';
ALTER TABLE device_file ADD COLUMN class TEXT NOT NULL DEFAULT '';

-- A file that comes in parts. It has a row in device_file from the beginning, with state 0; multipart is the blob store's id of the attempt,
-- empty where parts are blobs of the hub's own. A device finds its session again by res_key.
CREATE TABLE upload_session (
    file      {{id}},
    device    BIGINT NOT NULL,
    res_key   TEXT NOT NULL,
    part_size BIGINT NOT NULL,
    multipart TEXT NOT NULL,
    UNIQUE (device, res_key)
);

-- Bytes that are stored of such a file, from start on, as a blob of their own.
CREATE TABLE upload_chunk (
    file  BIGINT NOT NULL,
    start BIGINT NOT NULL,
    size  BIGINT NOT NULL,
    PRIMARY KEY (file, start)
){{clustered}};

-- What a product changes of the hub's limits for files; 0 is the hub's own.
CREATE TABLE file_policy (
    product       TEXT NOT NULL PRIMARY KEY,
    max_size      BIGINT NOT NULL,
    max_files     BIGINT NOT NULL,
    max_bytes     BIGINT NOT NULL,
    product_bytes BIGINT NOT NULL,
    keep          BIGINT NOT NULL,
    classes       TEXT NOT NULL
);

-- +goose Down
DROP TABLE file_policy;
DROP TABLE upload_chunk;
DROP TABLE upload_session;
ALTER TABLE device_file DROP COLUMN class;
ALTER TABLE device_file DROP COLUMN sha256;
