-- +goose Up
CREATE TABLE product (
    sn               TEXT PRIMARY KEY,
    secret           TEXT NOT NULL,
    name             TEXT NOT NULL,
    description      TEXT NOT NULL DEFAULT '',
    kind             SMALLINT NOT NULL DEFAULT 0,
    dynamic_register SMALLINT NOT NULL DEFAULT 0,
    pre_register     SMALLINT NOT NULL DEFAULT 0,
    shadow           SMALLINT NOT NULL DEFAULT 1,
    template         TEXT NOT NULL DEFAULT '',
    published        SMALLINT NOT NULL DEFAULT 0,
    created_at       BIGINT NOT NULL,
    updated_at       BIGINT NOT NULL
);

CREATE TABLE product_topic (
    product TEXT NOT NULL,
    path    TEXT NOT NULL,
    perm    SMALLINT NOT NULL,
    PRIMARY KEY (product, path)
){{clustered}};

-- state: 0 inactive, 1 online, 2 offline, 3 disabled. registered: 1 once a device has claimed its pre-registered entry.
CREATE TABLE device (
    id           {{id}},
    product      TEXT NOT NULL,
    sn           TEXT NOT NULL,
    secret       TEXT NOT NULL,
    name         TEXT NOT NULL DEFAULT '',
    description  TEXT NOT NULL DEFAULT '',
    state        SMALLINT NOT NULL DEFAULT 0,
    registered   SMALLINT NOT NULL DEFAULT 0,
    created_at   BIGINT NOT NULL,
    activated_at BIGINT NOT NULL DEFAULT 0,
    online_at    BIGINT NOT NULL DEFAULT 0,
    offline_at   BIGINT NOT NULL DEFAULT 0,
    last_seen    BIGINT NOT NULL DEFAULT 0,
    UNIQUE (product, sn)
);
CREATE INDEX device_by_state ON device (product, state, id);

CREATE TABLE topology (
    subdevice {{id}},
    gateway   BIGINT NOT NULL,
    added_at  BIGINT NOT NULL,
    online    SMALLINT NOT NULL DEFAULT 0
);
CREATE INDEX topology_by_gateway ON topology (gateway, subdevice);

CREATE TABLE api_key (
    id           TEXT PRIMARY KEY,
    name         TEXT NOT NULL,
    hash         {{blob}} NOT NULL,
    role         TEXT NOT NULL,
    created_at   BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL DEFAULT 0,
    expires_at   BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE setting (
    key   TEXT PRIMARY KEY,
    value {{blob}} NOT NULL
);

-- +goose Down
DROP TABLE setting;
DROP TABLE api_key;
DROP TABLE topology;
DROP TABLE device;
DROP TABLE product_topic;
DROP TABLE product;
