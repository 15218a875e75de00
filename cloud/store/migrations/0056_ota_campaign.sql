-- +goose Up

-- What a task is when it brings its firmware step by step. id is the task's. list are the deviceSNs that were named, until they are read; prepared is
-- how far that or the search for targets is. total counts targets, already those that had the version. released counts the targets that were
-- let go along the rank, up to and with (cursor_rank, cursor_device). wave is the present one, from 1 on; through_at is when its devices had settled. pardoned are the failures that
-- whoever resumed it has seen, waived the wave whose gate they opened.
CREATE TABLE ota_campaign (
    id            {{id}},
    product       TEXT NOT NULL,
    status        SMALLINT NOT NULL DEFAULT 0,
    revision      BIGINT NOT NULL DEFAULT 1,
    spec          TEXT NOT NULL,
    list          TEXT NOT NULL DEFAULT '',
    prepared      TEXT NOT NULL DEFAULT '',
    approval      SMALLINT NOT NULL DEFAULT 0,
    approver      TEXT NOT NULL DEFAULT '',
    reason        TEXT NOT NULL DEFAULT '',
    total         BIGINT NOT NULL DEFAULT 0,
    already       BIGINT NOT NULL DEFAULT 0,
    excluded      TEXT NOT NULL DEFAULT '',
    released      BIGINT NOT NULL DEFAULT 0,
    cursor_rank   BIGINT NOT NULL,
    cursor_device BIGINT NOT NULL DEFAULT 0,
    wave          SMALLINT NOT NULL DEFAULT 1,
    pardoned      TEXT NOT NULL DEFAULT '',
    waived        SMALLINT NOT NULL DEFAULT 0,
    through_at    BIGINT NOT NULL DEFAULT 0,
    started_at    BIGINT NOT NULL DEFAULT 0,
    updated_at    BIGINT NOT NULL,
    ended_at      BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX ota_campaign_by_product ON ota_campaign (product, id);
CREATE INDEX ota_campaign_by_status ON ota_campaign (status, id);

-- The devices of a campaign in the order in which they come; those named as canaries have ranks below 0.
CREATE TABLE ota_target (
    campaign BIGINT NOT NULL,
    rank     BIGINT NOT NULL,
    device   BIGINT NOT NULL,
    sn       TEXT NOT NULL,
    PRIMARY KEY (campaign, rank, device)
){{clustered}};
CREATE INDEX ota_target_of_device ON ota_target (device);

-- How many devices of a product ran which version, hour by hour.
CREATE TABLE ota_version_sample (
    product TEXT NOT NULL,
    module  TEXT NOT NULL,
    at      BIGINT NOT NULL,
    version TEXT NOT NULL,
    n       BIGINT NOT NULL,
    PRIMARY KEY (product, module, at, version)
){{clustered}};

-- Devices of campaigns are looked for campaign by campaign, those of tasks all together.
DROP INDEX ota_deployment_to_offer;
CREATE INDEX ota_deployment_to_offer ON ota_deployment (next_at) WHERE open = 1 AND state = 0 AND wave = 0;
CREATE INDEX ota_deployment_of_campaign ON ota_deployment (task, next_at) WHERE open = 1 AND state = 0 AND wave > 0;

-- +goose Down
DROP INDEX ota_deployment_of_campaign;
DROP INDEX ota_deployment_to_offer;
CREATE INDEX ota_deployment_to_offer ON ota_deployment (next_at) WHERE open = 1 AND state = 0;
DROP TABLE ota_version_sample;
DROP TABLE ota_target;
DROP TABLE ota_campaign;
