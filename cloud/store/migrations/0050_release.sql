-- +goose Up

-- Root documents of products: all that there were, because a device walks them one by one.
CREATE TABLE product_root (
    product    TEXT NOT NULL,
    version    BIGINT NOT NULL,
    document   {{blob}} NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (product, version)
);

-- The hub's key that signs assignments: one row, id 1, sealed.
CREATE TABLE director_key (
    id         {{id}},
    secret     {{blob}} NOT NULL,
    created_at BIGINT NOT NULL
);

-- The last counter of an assignment to a device.
CREATE TABLE device_assignment (
    device  {{id}},
    counter BIGINT NOT NULL
);

-- Signed releases. id is that of the firmware which a release is for tasks and for stock devices.
CREATE TABLE ota_release (
    id         {{id}},
    product    TEXT NOT NULL,
    digest     TEXT NOT NULL,
    sequence   BIGINT NOT NULL,
    root       BIGINT NOT NULL,
    envelope   {{blob}} NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX ota_release_by_digest ON ota_release (product, digest);

-- Files of releases. kind: 1 image, 2 chunk index, 3 full pack, 4 delta, whose base is the SHA-256 of the old image. state: 0 is to be sent,
-- 1 the hub makes it, 2 there, 3 it could not be made (reason). until is for how long a node has claimed the making.
CREATE TABLE ota_release_file (
    release    BIGINT NOT NULL,
    component  TEXT NOT NULL,
    kind       SMALLINT NOT NULL,
    base       TEXT NOT NULL DEFAULT '',
    blob       TEXT NOT NULL,
    state      SMALLINT NOT NULL,
    reason     TEXT NOT NULL DEFAULT '',
    until      BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (release, component, kind, base)
);
CREATE INDEX ota_release_file_by_blob ON ota_release_file (blob);
CREATE INDEX ota_release_file_to_make ON ota_release_file (kind, created_at) WHERE state = 1;

-- Blobs that files of releases are in, each once however many need it. state 0 is coming in, 1 there, 2 on its way out. used_at is when it was needed last:
-- one that no file names is removed a while later.
CREATE TABLE ota_artifact (
    blob    TEXT PRIMARY KEY,
    size    BIGINT NOT NULL,
    sha256  TEXT NOT NULL,
    md5     TEXT NOT NULL DEFAULT '',
    state   SMALLINT NOT NULL,
    used_at BIGINT NOT NULL
);

-- blob is where the file of a firmware is, '' for the place that follows from its id; signed is 1 for a release.
ALTER TABLE firmware ADD COLUMN blob TEXT NOT NULL DEFAULT '';
ALTER TABLE firmware ADD COLUMN signed SMALLINT NOT NULL DEFAULT 0;

-- What a device that verifies manifests has announced of a module.
ALTER TABLE module_version ADD COLUMN manifest SMALLINT NOT NULL DEFAULT 0;
ALTER TABLE module_version ADD COLUMN image TEXT NOT NULL DEFAULT '';
ALTER TABLE module_version ADD COLUMN sequence BIGINT NOT NULL DEFAULT 0;
ALTER TABLE module_version ADD COLUMN root BIGINT NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE module_version DROP COLUMN root;
ALTER TABLE module_version DROP COLUMN sequence;
ALTER TABLE module_version DROP COLUMN image;
ALTER TABLE module_version DROP COLUMN manifest;
ALTER TABLE firmware DROP COLUMN signed;
ALTER TABLE firmware DROP COLUMN blob;
DROP TABLE ota_artifact;
DROP TABLE ota_release_file;
DROP TABLE ota_release;
DROP TABLE device_assignment;
DROP TABLE director_key;
DROP TABLE product_root;
