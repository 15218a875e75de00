-- +goose Up

-- A gateway's topo/add that waits for an operator: its product wants consent.
CREATE TABLE topology_request (
    gateway      BIGINT NOT NULL,
    subdevice    BIGINT NOT NULL,
    requested_at BIGINT NOT NULL,
    PRIMARY KEY (gateway, subdevice)
){{clustered}};
CREATE INDEX topology_request_by_subdevice ON topology_request (subdevice);

-- +goose Down
DROP TABLE topology_request;
