package store

import (
	"fmt"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/keyring"
)

// Durability says what a commit survives.
const (
	// DurabilityPower: a commit survives power loss; every group commit is synced to the disk. The default.
	DurabilityPower = "power"
	// DurabilityProcess: a commit survives the death of the process, not of the machine: SQLite syncs at checkpoints
	// only. PostgreSQL: synchronous_commit is switched off for the committer.
	DurabilityProcess = "process"
)

// Config is what Open needs; the zero value of every field but Dir is its default.
type Config struct {
	// DSN names the database: "" is the SQLite file hawser.db in Dir, "postgres://…" or "postgresql://…" a server.
	DSN string
	// Dir is the data folder. It is made when absent and locked while the DB is open. With a PostgreSQL DSN it may be
	// empty; then nothing is locked.
	Dir string
	// Keyring is what secrets are sealed with; nil for a store of which nobody asks any.
	Keyring *keyring.Keyring
	// Durability is DurabilityPower (default) or DurabilityProcess.
	Durability string
	// CommitEvery is how long the first unit of a batch waits at most for others, once others are arriving; default 10 ms.
	// A lone unit does not wait.
	CommitEvery time.Duration
	// CommitMax is the number of units that end a batch early; default 1000.
	CommitMax int
	// QueueMax is the number of units that may wait for the committer before Submit blocks; default 8 × CommitMax.
	QueueMax int
	// OutboxMemory bounds the bytes of fresh outbox rows kept in memory for their consumers; default 8 MiB. What does
	// not fit is read back from the database.
	OutboxMemory int
}

// withDefaults returns c with the defaults filled in, or which field is wrong.
func (c Config) withDefaults() (Config, error) {
	if c.Durability == "" {
		c.Durability = DurabilityPower
	}
	if c.CommitEvery == 0 {
		c.CommitEvery = 10 * time.Millisecond
	}
	if c.CommitMax == 0 {
		c.CommitMax = 1000
	}
	if c.QueueMax == 0 {
		c.QueueMax = 8 * c.CommitMax
	}
	if c.OutboxMemory == 0 {
		c.OutboxMemory = 8 << 20
	}
	switch {
	case c.Durability != DurabilityPower && c.Durability != DurabilityProcess:
		return c, fmt.Errorf("%w: durability %q: it is %q or %q", ErrConfig, c.Durability, DurabilityPower, DurabilityProcess)
	case c.CommitEvery < 0, c.CommitMax < 0, c.QueueMax < 0, c.OutboxMemory < 0:
		return c, fmt.Errorf("%w: commit interval, batch size, queue size and outbox memory must be positive", ErrConfig)
	case c.DSN != "" && !c.postgres():
		return c, fmt.Errorf("%w: DSN %q: it is empty (SQLite in the data folder) or starts with postgres://", ErrConfig, redactDSN(c.DSN))
	case c.DSN == "" && c.Dir == "":
		return c, fmt.Errorf("%w: SQLite needs a data folder", ErrConfig)
	}
	return c, nil
}

func (c Config) postgres() bool {
	return strings.HasPrefix(c.DSN, "postgres://") || strings.HasPrefix(c.DSN, "postgresql://")
}

// redactDSN keeps no more than the scheme, because the rest may hold a password.
func redactDSN(dsn string) string {
	scheme, _, ok := strings.Cut(dsn, "://")
	if !ok {
		return "…"
	}
	return scheme + "://…"
}
