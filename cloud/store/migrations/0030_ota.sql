-- +goose Up

-- state 0 is a firmware whose file is coming in, 1 one that is there, 2 one that was deleted and whose file may be left. The blob's name follows from product and id.
CREATE TABLE firmware (
    id          {{id}},
    product     TEXT NOT NULL,
    module      TEXT NOT NULL,
    version     TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    size        BIGINT NOT NULL DEFAULT 0,
    md5         TEXT NOT NULL DEFAULT '',
    sha256      TEXT NOT NULL DEFAULT '',
    state       SMALLINT NOT NULL DEFAULT 0,
    created_at  BIGINT NOT NULL
);
CREATE UNIQUE INDEX firmware_by_version ON firmware (product, module, version);

-- What a device says that it runs.
CREATE TABLE module_version (
    device      BIGINT NOT NULL,
    module      TEXT NOT NULL,
    version     TEXT NOT NULL,
    reported_at BIGINT NOT NULL,
    PRIMARY KEY (device, module)
){{clustered}};

-- A task brings one firmware to the devices that it had been given when it was made. timeout is how long a device that has been
-- offered the firmware may be silent, in milliseconds; expires_at when devices that have not been offered it are given up.
CREATE TABLE ota_task (
    id         {{id}},
    product    TEXT NOT NULL,
    module     TEXT NOT NULL,
    firmware   BIGINT NOT NULL,
    version    TEXT NOT NULL,
    name       TEXT NOT NULL DEFAULT '',
    owner      TEXT NOT NULL DEFAULT '',
    timeout    BIGINT NOT NULL,
    cancelled  SMALLINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX ota_task_by_product ON ota_task (product, id);

-- One device of a task. revision guards every change; epoch is that of the session in which the firmware was offered last, attempt
-- how often it was. A device has at most one open deployment for a module.
CREATE TABLE ota_deployment (
    task         BIGINT NOT NULL,
    device       BIGINT NOT NULL,
    sn           TEXT NOT NULL,
    module       TEXT NOT NULL,
    state        SMALLINT NOT NULL DEFAULT 0,
    open         SMALLINT NOT NULL DEFAULT 1,
    revision     BIGINT NOT NULL DEFAULT 1,
    percent      SMALLINT NOT NULL DEFAULT 0,
    from_version TEXT NOT NULL DEFAULT '',
    code         BIGINT NOT NULL DEFAULT 0,
    class        TEXT NOT NULL DEFAULT '',
    epoch        BIGINT NOT NULL DEFAULT 0,
    attempt      BIGINT NOT NULL DEFAULT 0,
    deadline     BIGINT NOT NULL,
    next_at      BIGINT NOT NULL DEFAULT 0,
    offered_at   BIGINT NOT NULL DEFAULT 0,
    updated_at   BIGINT NOT NULL,
    PRIMARY KEY (task, device)
){{clustered}};
CREATE UNIQUE INDEX ota_deployment_open ON ota_deployment (device, module) WHERE open = 1;
CREATE INDEX ota_deployment_by_state ON ota_deployment (task, state);
CREATE INDEX ota_deployment_by_deadline ON ota_deployment (deadline) WHERE open = 1;
CREATE INDEX ota_deployment_to_offer ON ota_deployment (next_at) WHERE open = 1 AND state = 0;
CREATE INDEX ota_deployment_of_device ON ota_deployment (device);

-- +goose Down
DROP TABLE ota_deployment;
DROP TABLE ota_task;
DROP TABLE module_version;
DROP TABLE firmware;
