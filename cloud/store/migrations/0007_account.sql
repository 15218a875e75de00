-- Projects, users, members, sessions, scoped keys, logins under way and the audit log.
--
-- A project 'hub' stands for the hub as a whole in member and api_key, and is no row of project. Lists of permissions and
-- products are names with commas between; '' is no list. Quotas of 0 are none.

-- +goose Up
CREATE TABLE project (
    id             TEXT PRIMARY KEY,
    name           TEXT NOT NULL,
    description    TEXT NOT NULL DEFAULT '',
    quota_devices  BIGINT NOT NULL DEFAULT 0,
    quota_products BIGINT NOT NULL DEFAULT 0,
    quota_rules    BIGINT NOT NULL DEFAULT 0,
    quota_users    BIGINT NOT NULL DEFAULT 0,
    quota_keys     BIGINT NOT NULL DEFAULT 0,
    created_at     BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL
);
INSERT INTO project (id, name, created_at, updated_at) VALUES ('default', 'default', 0, 0);

-- password is a PHC string, '' for a user who has none. issuer and subject are of OpenID Connect, '' for a local user.
CREATE TABLE account (
    id            TEXT PRIMARY KEY,
    login         TEXT NOT NULL UNIQUE,
    name          TEXT NOT NULL DEFAULT '',
    password      TEXT NOT NULL DEFAULT '',
    issuer        TEXT NOT NULL DEFAULT '',
    subject       TEXT NOT NULL DEFAULT '',
    disabled      SMALLINT NOT NULL DEFAULT 0,
    created_at    BIGINT NOT NULL,
    updated_at    BIGINT NOT NULL,
    last_login_at BIGINT NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX account_by_subject ON account (issuer, subject) WHERE issuer <> '';

-- step is the newest time step whose code was taken, so that none is taken twice.
CREATE TABLE account_totp (
    account   TEXT PRIMARY KEY,
    secret    {{blob}} NOT NULL,
    confirmed SMALLINT NOT NULL DEFAULT 0,
    step      BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE account_recovery (
    account TEXT NOT NULL,
    hash    {{blob}} NOT NULL,
    PRIMARY KEY (account, hash)
){{clustered}};

-- role '' is a member with grants on single products alone.
CREATE TABLE member (
    project  TEXT NOT NULL,
    account  TEXT NOT NULL,
    role     TEXT NOT NULL,
    added_at BIGINT NOT NULL,
    PRIMARY KEY (project, account)
){{clustered}};
CREATE INDEX member_by_account ON member (account, project);

CREATE TABLE member_product (
    project TEXT NOT NULL,
    account TEXT NOT NULL,
    product TEXT NOT NULL,
    role    TEXT NOT NULL,
    PRIMARY KEY (account, project, product)
){{clustered}};

CREATE TABLE account_session (
    id         TEXT PRIMARY KEY,
    account    TEXT NOT NULL,
    hash       {{blob}} NOT NULL,
    method     TEXT NOT NULL,
    address    TEXT NOT NULL DEFAULT '',
    agent      TEXT NOT NULL DEFAULT '',
    created_at BIGINT NOT NULL,
    seen_at    BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX account_session_by_account ON account_session (account, created_at);
CREATE INDEX account_session_by_end ON account_session (expires_at);

-- An OpenID Connect login under way: kind 0 from its start to the provider's answer, kind 1 from there to the exchange of
-- the code by a program. hash is of the state or the code, binding of what the same browser or program must show again.
CREATE TABLE login_flow (
    hash       {{blob}} PRIMARY KEY,
    kind       SMALLINT NOT NULL,
    binding    {{blob}} NOT NULL,
    nonce      TEXT NOT NULL DEFAULT '',
    verifier   TEXT NOT NULL DEFAULT '',
    target     TEXT NOT NULL DEFAULT '',
    account    TEXT NOT NULL DEFAULT '',
    expires_at BIGINT NOT NULL
);

ALTER TABLE api_key ADD COLUMN project TEXT NOT NULL DEFAULT 'hub';
ALTER TABLE api_key ADD COLUMN permissions TEXT NOT NULL DEFAULT '';
ALTER TABLE api_key ADD COLUMN products TEXT NOT NULL DEFAULT '';
ALTER TABLE api_key ADD COLUMN created_by TEXT NOT NULL DEFAULT '';

ALTER TABLE rule ADD COLUMN project TEXT NOT NULL DEFAULT 'default';

-- id rises. diff is JSON, with secrets masked; result is the status of the answer.
CREATE TABLE audit (
    id         {{id}},
    at         BIGINT NOT NULL,
    project    TEXT NOT NULL,
    actor_kind TEXT NOT NULL,
    actor      TEXT NOT NULL,
    actor_name TEXT NOT NULL,
    operation  TEXT NOT NULL,
    object     TEXT NOT NULL,
    result     SMALLINT NOT NULL,
    code       TEXT NOT NULL DEFAULT '',
    address    TEXT NOT NULL DEFAULT '',
    request    TEXT NOT NULL DEFAULT '',
    diff       TEXT NOT NULL DEFAULT ''
);
CREATE INDEX audit_by_project ON audit (project, id);
CREATE INDEX audit_by_actor ON audit (actor, id);
CREATE INDEX audit_by_object ON audit (object, id);

-- +goose Down
DROP TABLE audit;
ALTER TABLE rule DROP COLUMN project;
ALTER TABLE api_key DROP COLUMN created_by;
ALTER TABLE api_key DROP COLUMN products;
ALTER TABLE api_key DROP COLUMN permissions;
ALTER TABLE api_key DROP COLUMN project;
DROP TABLE login_flow;
DROP TABLE account_session;
DROP TABLE member_product;
DROP TABLE member;
DROP TABLE account_recovery;
DROP TABLE account_totp;
DROP TABLE account;
DROP TABLE project;
