package store_test

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"

	"github.com/hawser-iot/hawser/cloud/keyring"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
)

// put stores n devices with sealed secrets, from id first.
func put(t *testing.T, db *store.DB, first, n int) {
	t.Helper()
	err := db.Update(t.Context(), func(tx *store.Tx) error {
		for id := first; id < first+n; id++ {
			_, err := tx.Exec(t.Context(), `INSERT INTO device (id, product, sn, secret, created_at) VALUES (?, 'p', ?, ?, 0)`, id, fmt.Sprint("d", id),
				db.Seal(store.DeviceSecret, id, fmt.Appendf(nil, "hush-%d", id)))
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func check(t *testing.T, db *store.DB, id int) {
	t.Helper()
	var sealed []byte
	if err := db.QueryRow(t.Context(), `SELECT secret FROM device WHERE id = ?`, id).Scan(&sealed); err != nil {
		t.Fatal(err)
	}
	if plain, err := db.Unseal(store.DeviceSecret, id, sealed); err != nil || string(plain) != fmt.Sprintf("hush-%d", id) {
		t.Errorf("device %d: %q, %v", id, plain, err)
	}
	if _, err := db.Unseal(store.DeviceSecret, id+1, sealed); !errors.Is(err, keyring.ErrSealed) {
		t.Errorf("the secret of device %d opens as that of %d: %v", id, id+1, err)
	}
}

// TestReseal rotates keys with more values than fit into one transaction, on both engines, with integer and text keys.
func TestReseal(t *testing.T) {
	test := func(t *testing.T, cfg store.Config) {
		file := filepath.Join(t.TempDir(), "keyring")
		ring, err := keyring.Load(file, "")
		if err != nil {
			t.Fatal(err)
		}
		cfg.Keyring = ring
		db := storetest.Open(t, cfg)
		put(t, db, 1, 450)
		for i := range 3 {
			sn := fmt.Sprint("p", i)
			err := db.Update(t.Context(), func(tx *store.Tx) error {
				_, err := tx.Exec(t.Context(), `INSERT INTO product (sn, secret, name, created_at, updated_at) VALUES (?, ?, '', 0, 0)`, sn,
					db.Seal(store.ProductSecret, sn, []byte("hush")))
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		old := ring.Sealing()
		if _, err := ring.Add(); err != nil {
			t.Fatal(err)
		}
		if _, err := ring.Activate(); err != nil {
			t.Fatal(err)
		}
		put(t, db, 451, 1) // under the new key already
		if n, err := db.Reseal(t.Context()); err != nil || n != 453 {
			t.Fatalf("Reseal = %d, %v, want 453", n, err)
		}
		if n, err := db.Reseal(t.Context()); err != nil || n != 0 {
			t.Errorf("a second Reseal = %d, %v", n, err)
		}
		count, err := db.SealedBy(t.Context())
		if err != nil || count[ring.Sealing()] != 454 || len(count) != 1 {
			t.Errorf("sealed by %v, %v", count, err)
		}
		if used, err := db.KeysInUse(t.Context()); err != nil || len(used) != 1 || used[0] != ring.Sealing() {
			t.Errorf("keys in use: %v, %v", used, err)
		}
		if err := ring.Remove(old); err != nil {
			t.Fatal(err)
		}
		for _, id := range []int{1, 200, 201, 450, 451} {
			check(t, db, id)
		}
	}
	t.Run("sqlite", func(t *testing.T) { test(t, store.Config{Dir: t.TempDir()}) })
	t.Run("postgres", func(t *testing.T) { test(t, store.Config{DSN: storetest.PostgresDSN(t)}) })
}

// TestWrongKeyring: a store opens with its own keyring only, and says what to do.
func TestWrongKeyring(t *testing.T) {
	test := func(t *testing.T, cfg store.Config) {
		open := func(ring *keyring.Keyring) error {
			cfg.Keyring = ring
			db, err := store.Open(t.Context(), cfg, slog.New(slog.DiscardHandler), nil)
			if err != nil {
				return err
			}
			return db.Close()
		}
		file := filepath.Join(t.TempDir(), "keyring")
		ring, err := keyring.Load(file, "")
		if err != nil {
			t.Fatal(err)
		}
		if err := open(ring); err != nil {
			t.Fatal(err)
		}
		if again, err := keyring.Load(file, ""); err != nil || again.Sealing() != ring.Sealing() {
			t.Fatalf("the keyring was not kept: %v", err)
		}
		lost, err := keyring.Load(filepath.Join(t.TempDir(), "keyring"), "")
		if err != nil {
			t.Fatal(err)
		}
		for name, ring := range map[string]*keyring.Keyring{"another": keyring.New(), "a lost one": lost} {
			if err := open(ring); !errors.Is(err, store.ErrKeyring) {
				t.Errorf("with %s: %v", name, err)
			}
		}
		if err := lost.Keep(); err != nil { // nothing was written for it before
			t.Error(err)
		}
		if err := open(ring); err != nil {
			t.Errorf("with the right one again: %v", err)
		}
	}
	t.Run("sqlite", func(t *testing.T) { test(t, store.Config{Dir: t.TempDir()}) })
	t.Run("postgres", func(t *testing.T) { test(t, store.Config{DSN: storetest.PostgresDSN(t)}) })
}

// TestSealsWhatLayInClear: a store of before there was a keyring is sealed when it is opened with one, down to the bytes.
func TestSealsWhatLayInClear(t *testing.T) {
	dir := t.TempDir()
	db, err := store.Open(t.Context(), store.Config{Dir: dir}, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(t.Context(), func(tx *store.Tx) error {
		for id := 1; id <= 300; id++ {
			_, err := tx.Exec(t.Context(), `INSERT INTO device (id, product, sn, secret, created_at) VALUES (?, 'p', ?, ?, 0)`, id, fmt.Sprint("d", id), fmt.Sprintf("hush-%d", id))
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	db = storetest.Open(t, store.Config{Dir: dir})
	check(t, db, 1)
	check(t, db, 300)
	storetest.NoSecrets(t, dir, "hush-")
}

// TestNodesStartAtOnce: of nodes that start on an empty store with one keyring file that is not there yet, one makes it and all open.
func TestNodesStartAtOnce(t *testing.T) {
	dsn, file := storetest.PostgresDSN(t), filepath.Join(t.TempDir(), "keyring")
	var wg sync.WaitGroup
	for range 4 {
		ring, err := keyring.Load(file, "")
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			db, err := store.Open(t.Context(), store.Config{DSN: dsn, Keyring: ring}, slog.New(slog.DiscardHandler), nil)
			if err != nil {
				t.Errorf("open: %v", err)
				return
			}
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// TestResealGoesOn: a value that does not open holds nothing else up, and what was sealed anew already is not done twice.
func TestResealGoesOn(t *testing.T) {
	ring, err := keyring.Load(filepath.Join(t.TempDir(), "keyring"), "")
	if err != nil {
		t.Fatal(err)
	}
	db := storetest.Open(t, store.Config{Dir: t.TempDir(), Keyring: ring})
	put(t, db, 1, 450)
	set := func(id int, value []byte) {
		t.Helper()
		err := db.Update(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), `UPDATE device SET secret = ? WHERE id = ?`, value, id)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	set(300, db.Seal(store.DeviceSecret, 7, []byte("of another row")))
	if _, err := ring.Add(); err != nil {
		t.Fatal(err)
	}
	if _, err := ring.Activate(); err != nil {
		t.Fatal(err)
	}
	if n, err := db.Reseal(t.Context()); n != 449 || !errors.Is(err, keyring.ErrSealed) {
		t.Errorf("Reseal = %d, %v, want 449 and what is damaged", n, err)
	}
	if used, err := db.KeysInUse(t.Context()); err != nil || len(used) != 2 {
		t.Errorf("keys in use: %v, %v: the old one is still needed", used, err)
	}
	set(300, db.Seal(store.DeviceSecret, 300, []byte("hush-300")))
	if n, err := db.Reseal(t.Context()); n != 0 || err != nil {
		t.Errorf("Reseal = %d, %v, want nothing left", n, err)
	}
	check(t, db, 300)
}
