-- +goose Up

-- What has become of the records of an action on one node, since the action was made; of a rule (its id in the place of the action) how many
-- messages it could not be evaluated on. The sum over the nodes is what people see.
CREATE TABLE rule_total (
    action    BIGINT NOT NULL,
    node      TEXT NOT NULL,
    delivered BIGINT NOT NULL,
    dead      BIGINT NOT NULL,
    fell_back BIGINT NOT NULL,
    retries   BIGINT NOT NULL,
    expired   BIGINT NOT NULL,
    no_room   BIGINT NOT NULL,
    damaged   BIGINT NOT NULL,
    failed    BIGINT NOT NULL,
    PRIMARY KEY (action, node)
){{clustered}};

-- +goose Down
DROP TABLE rule_total;
