-- +goose Up

-- What an agent has told of itself at its last hello, as JSON.
CREATE TABLE agent (
    device BIGINT PRIMARY KEY,
    info   TEXT NOT NULL,
    at     BIGINT NOT NULL
);

-- The numbers that have come of an agent's stream, or will not come: [[from,to],…]. What is in agent_mark beside it has come too: such a row is
-- written with what the record causes, and goes when the numbers are in agent_stream.
CREATE TABLE agent_stream (
    device BIGINT NOT NULL,
    stream TEXT NOT NULL,
    epoch  TEXT NOT NULL,
    ranges TEXT,
    at     BIGINT,
    PRIMARY KEY (device, stream, epoch)
){{clustered}};

CREATE TABLE agent_mark (
    device BIGINT NOT NULL,
    stream TEXT NOT NULL,
    epoch  TEXT NOT NULL,
    seq    BIGINT NOT NULL,
    PRIMARY KEY (device, stream, epoch, seq)
){{clustered}};

-- What agents have lost, and told.
CREATE TABLE agent_gap (
    device   BIGINT NOT NULL,
    stream   TEXT NOT NULL,
    epoch    TEXT NOT NULL,
    from_seq BIGINT NOT NULL,
    to_seq   BIGINT NOT NULL,
    reason   TEXT NOT NULL,
    bytes    BIGINT NOT NULL,
    at       BIGINT NOT NULL,
    PRIMARY KEY (device, stream, epoch, from_seq)
){{clustered}};

-- +goose Down
DROP TABLE agent_gap;
DROP TABLE agent_mark;
DROP TABLE agent_stream;
DROP TABLE agent;
