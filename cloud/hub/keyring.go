package hub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/hawser-iot/hawser/cloud/auth/ca"
	"github.com/hawser-iot/hawser/cloud/keyring"
	"github.com/hawser-iot/hawser/cloud/store"
)

// keyringEnv holds the keys themselves, for places where a file is hard to have. It has no flag: arguments are seen by others.
const keyringEnv = "HAWSER_KEYRING"

// keyringFile is where the keys are.
func (c *Config) keyringFile() string {
	if c.KeyringFile != "" {
		return c.KeyringFile
	}
	return filepath.Join(c.Data, "keyring")
}

func (c *Config) loadKeyring() (*keyring.Keyring, error) {
	ring, err := keyring.Load(c.keyringFile(), c.Keyring.Reveal())
	if err != nil {
		return nil, fmt.Errorf("--keyring-file: %w", err)
	}
	return ring, nil
}

// tlsDir is where the hub's own CA is, whose key is sealed as well.
func (c *Config) tlsDir() string { return filepath.Join(c.Data, "tls") }

// warnOpen tells of a keyring that others on this machine can read.
func (c *Config) warnOpen(log *slog.Logger) {
	if info, err := os.Stat(c.keyringFile()); err == nil && c.Keyring == "" && info.Mode().Perm()&0o007 != 0 {
		log.Warn("others can read the keyring: chmod 600", "file", c.keyringFile())
	}
}

// ownKeyring is the ring that is there: who works on it does not make one.
func (c *Config) ownKeyring() (*keyring.Keyring, error) {
	ring, err := c.loadKeyring()
	if err == nil && ring.Fresh() {
		err = fmt.Errorf("there is no keyring at %s: the hub makes it at its first start", c.keyringFile())
	}
	return ring, err
}

// storeConfig is the store's share of the configuration.
func (c *Config) storeConfig(ring *keyring.Keyring) store.Config {
	return store.Config{DSN: c.StoreDSN, Dir: c.Data, Keyring: ring, Durability: c.Durability, CommitEvery: c.CommitEvery}
}

const (
	keyringPoll  = 5 * time.Second  // how often the file is looked at
	keyringCheck = 10 * time.Minute // how often the store is asked for values under older keys: other nodes may have lagged
)

// keyringWatch takes changed keys out of the file and seals what lies under older ones anew, while the hub runs.
type keyringWatch struct {
	ring *keyring.Keyring
	db   *store.DB
	ca   *ca.Authority // whose key is sealed too
	log  *slog.Logger
}

// Run watches until ctx ends. Faults are logged and tried again: the hub does its work with the keys that it has.
func (w *keyringWatch) Run(ctx context.Context) error {
	ticker := time.NewTicker(keyringPoll)
	defer ticker.Stop()
	checked := time.Time{}
	for said := ""; ; {
		changed, err := w.ring.Reload()
		if err == nil && (changed || time.Since(checked) > keyringCheck) {
			checked = time.Now()
			err = w.reseal(ctx)
		}
		switch {
		case err == nil:
			said = ""
		case ctx.Err() == nil && err.Error() != said: // once, not every five seconds
			said = err.Error()
			w.log.Error("keyring not taken over", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (w *keyringWatch) reseal(ctx context.Context) error {
	if err := w.ca.Seal(); err != nil {
		return err
	}
	used, err := w.db.KeysInUse(ctx)
	if err != nil || len(used) == 1 && used[0] == w.ring.Sealing() {
		return err
	}
	began := time.Now()
	n, err := w.db.Reseal(ctx)
	if err != nil {
		return err
	}
	w.log.Info("secrets sealed under the new key", "key", w.ring.Sealing(), "values", n, "took", time.Since(began).Round(time.Millisecond))
	return nil
}

// KeyInfo is a key of the ring as `hawser-hub keyring list` shows it.
type KeyInfo struct {
	keyring.Key
	Seals  bool
	Values int // under it in the store; -1 when the store is in use by a running hub
}

// KeyringList lists the keys and what lies under them.
func KeyringList(ctx context.Context, c *Config) ([]KeyInfo, error) {
	ring, err := c.ownKeyring()
	if err != nil {
		return nil, err
	}
	count, err := countSealed(ctx, c, ring)
	if err != nil {
		return nil, err
	}
	var list []KeyInfo
	for _, k := range ring.Keys() {
		info := KeyInfo{Key: k, Seals: k.ID == ring.Sealing(), Values: -1}
		if count != nil {
			info.Values = count[k.ID]
		}
		list = append(list, info)
	}
	return list, nil
}

// countSealed is nil when a running hub holds the store.
func countSealed(ctx context.Context, c *Config, ring *keyring.Keyring) (count map[string]int, err error) {
	db, err := store.Open(ctx, c.storeConfig(ring), slog.New(slog.DiscardHandler), nil)
	if errors.Is(err, store.ErrInUse) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if count, err = db.SealedBy(ctx); err != nil {
		return nil, err
	}
	under, err := ca.SealedUnder(c.tlsDir())
	if under != "" {
		count[under]++
	}
	return count, err
}

// KeyringAdd makes a key that opens and does not seal yet.
func KeyringAdd(c *Config) (keyring.Key, error) {
	ring, err := c.ownKeyring()
	if err != nil {
		return keyring.Key{}, err
	}
	return ring.Add()
}

// ErrNoStandby is returned by KeyringRotate for a store that several hubs may share.
var ErrNoStandby = errors.New("there is no standby key: run keyring add, copy the file to every node, then rotate; --alone does it at once when this is the only node")

// KeyringRotate makes the standby key the one that seals, or a new key when there is none and the hub is alone, and seals everything
// anew. resealed is false when a running hub holds the store: it does so itself.
func KeyringRotate(ctx context.Context, c *Config, alone bool) (key string, values int, resealed bool, err error) {
	ring, err := c.ownKeyring()
	if err != nil {
		return "", 0, false, err
	}
	done, err := ring.Activate()
	if err == nil && !done {
		if c.StoreDSN != "" && !alone {
			return "", 0, false, ErrNoStandby
		}
		if _, err = ring.Add(); err == nil {
			_, err = ring.Activate()
		}
	}
	if err != nil {
		return "", 0, false, err
	}
	db, err := store.Open(ctx, c.storeConfig(ring), slog.New(slog.DiscardHandler), nil)
	if errors.Is(err, store.ErrInUse) {
		return ring.Sealing(), 0, false, nil
	}
	if err != nil {
		return "", 0, false, fmt.Errorf("the key is changed, and the store not sealed anew: run rotate again, or start the hub: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if values, err = db.Reseal(ctx); err != nil {
		return ring.Sealing(), values, false, err
	}
	sealed, err := ca.Seal(c.tlsDir(), ring)
	if sealed {
		values++
	}
	return ring.Sealing(), values, err == nil, err
}

// KeyringRemove takes a key out that nothing is sealed under.
func KeyringRemove(ctx context.Context, c *Config, id string) error {
	ring, err := c.ownKeyring()
	if err != nil {
		return err
	}
	count, err := countSealed(ctx, c, ring)
	switch {
	case err != nil:
		return err
	case count == nil:
		return errors.New("stop the hub first: what it seals cannot be seen while it runs")
	case count[id] > 0:
		return fmt.Errorf("%d values are sealed under %s: rotate first", count[id], id)
	}
	return ring.Remove(id)
}
