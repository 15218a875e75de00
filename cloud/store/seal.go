package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hawser-iot/hawser/cloud/keyring"
)

// Column is one whose values are sealed under the keyring.
type Column struct {
	Table, Key, Column string // Key is the column that names the row
}

// The columns that hold secrets. Whoever adds one adds it to Sealed as well, so that a change of keys reaches it.
var (
	ProductSecret   = Column{Table: "product", Key: "sn", Column: "secret"}
	DeviceSecret    = Column{Table: "device", Key: "id", Column: "secret"}
	ActionConfig    = Column{Table: "rule_action", Key: "id", Column: "config"} // headers and connection strings hold passwords
	ConnectorConfig = Column{Table: "connector", Key: "id", Column: "config"}   // the same of the targets of rules
	// AlarmChannelConfig holds passwords, and URLs with tokens.
	AlarmChannelConfig = Column{Table: "alarm_channel", Key: "id", Column: "config"}
	TOTPSecret         = Column{Table: "account_totp", Key: "account", Column: "secret"}
	PairSecret         = Column{Table: "api_key_pair", Key: "id", Column: "secret"}
	AuthorityKey       = Column{Table: "authority", Key: "id", Column: "key"}
	DirectorKey        = Column{Table: "director_key", Key: "id", Column: "secret"}
	JobInput           = Column{Table: "job_input", Key: "id", Column: "data"}        // imports bring secrets
	JobResult          = Column{Table: "job_result", Key: "id", Column: "data"}       // … and make some
	AgentConfig        = Column{Table: "agent_config", Key: "id", Column: "document"} // secrets of sub-devices
	StoredAnswer       = Column{Table: "idempotency", Key: "id", Column: "answer"}    // a new device or key is shown with its secret
)

// Sealed lists all columns that hold secrets.
func Sealed() []Column {
	return []Column{ProductSecret, DeviceSecret, ActionConfig, ConnectorConfig, AlarmChannelConfig, PairSecret, AuthorityKey, DirectorKey, JobInput, JobResult, StoredAnswer, TOTPSecret, AgentConfig}
}

// context names the place of a value: in another row or column it does not open.
func (c Column) context(key any) string { return fmt.Sprint(c.Table, ".", c.Column, ":", key) }

// ErrNoKeyring is returned where a store that was opened without keyring is asked for a secret.
var ErrNoKeyring = errors.New("store: opened without keyring")

// ErrKeyring is returned by Open for a store whose secrets the keyring does not open.
var ErrKeyring = errors.New("store: secrets are sealed under keys that are not in the keyring")

// Seal encrypts a secret for the row of c that key names. The store must have been opened with a keyring.
func (db *DB) Seal(c Column, key any, plain []byte) []byte {
	if db.keys == nil {
		panic(ErrNoKeyring)
	}
	return db.keys.Seal(plain, c.context(key))
}

// Unseal decrypts what Seal made for that row.
func (db *DB) Unseal(c Column, key any, sealed []byte) ([]byte, error) {
	if db.keys == nil {
		return nil, ErrNoKeyring
	}
	plain, err := db.keys.Open(sealed, c.context(key))
	if err != nil {
		return nil, fmt.Errorf("%s of %s %v: %w", c.Column, c.Table, key, err)
	}
	return plain, nil
}

// checkKeys finds out whether the keyring is that of this store, and notes the key that seals now. A store that has never had one
// may hold secrets in clear, of an earlier version: they are sealed.
func (db *DB) checkKeys(ctx context.Context) error {
	used, err := db.noteKey(ctx)
	if err != nil || used > 0 {
		return err
	}
	n, err := db.reseal(ctx, func(b []byte) bool { return !keyring.Sealed(b) })
	if err != nil || n == 0 {
		return err
	}
	db.log.Info("secrets that lay in clear are sealed now", "values", n)
	return db.engine.scrub(ctx)
}

// noteKey adds the key that seals to those in use and returns how many there were.
func (db *DB) noteKey(ctx context.Context) (used int, err error) {
	err = db.Update(ctx, func(tx *Tx) error {
		// One node at a time: two that start on an empty store must not both bring a new ring.
		if _, err := tx.Exec(ctx, `UPDATE keyring_key SET used_at = used_at WHERE id = ''`); err != nil {
			return err
		}
		if err := db.keys.Find(); err != nil {
			return err
		}
		ids, err := usedKeys(ctx, tx)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if !db.keys.Has(id) {
				return fmt.Errorf("%w: no key %s: start with the keyring file that this store was made with, or its backup (--keyring-file, HAWSER_KEYRING); "+
					"all nodes of a cluster share one", ErrKeyring, id)
			}
		}
		if used = len(ids); used == 0 {
			if err := db.keys.Keep(); err != nil { // before anything is sealed with it
				return err
			}
		}
		_, err = tx.Exec(ctx, `INSERT INTO keyring_key (id, used_at) VALUES (?, ?) ON CONFLICT (id) DO NOTHING`, db.keys.Sealing(), time.Now().UnixMilli())
		return err
	})
	return used, err
}

// KeysInUse lists the ids of the keys that values of the store may be sealed under.
func (db *DB) KeysInUse(ctx context.Context) (ids []string, err error) {
	err = db.Update(ctx, func(tx *Tx) error {
		ids, err = usedKeys(ctx, tx)
		return err
	})
	return ids, err
}

func usedKeys(ctx context.Context, tx *Tx) (ids []string, err error) {
	rows, err := tx.Query(ctx, `SELECT id FROM keyring_key WHERE id <> '' ORDER BY used_at, id`)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}
