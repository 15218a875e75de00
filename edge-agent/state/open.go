package state

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// A file is written anew when it is more than slack times as large as what lives in it, and than small.
const (
	slack = 4
	small = 256 << 10
)

// Open opens the file, or makes it; its folder must be there.
func Open(path string, log *slog.Logger) (*Store, error) {
	s := &Store{path: path, log: log, every: Every, pending: make(changes), poke: make(chan struct{}, 1)}
	db, live, err := openFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		db, err = create(path)
	case isDamaged(err):
		aside := path + ".damaged"
		log.Error("the agent's state is damaged: it is set aside, and begun anew", "file", path, "kept", aside, "err", err)
		if err := os.Rename(path, aside); err != nil {
			return nil, fmt.Errorf("state: set the damaged file aside: %w", err)
		}
		db, err = create(path)
	case err == nil:
		db, err = compact(db, path, live, log)
	}
	if err != nil {
		return nil, err
	}
	s.db = db
	return s, nil
}

var errDamaged = errors.New("state: damaged")

func isDamaged(err error) bool { return errors.Is(err, errDamaged) }

// options are bbolt's for a small file: the free pages are found at the start instead of written with each change.
func options() *bbolt.Options {
	return &bbolt.Options{Timeout: 2 * time.Second, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType}
}

// openFile opens a file that is there and reads all of it; live is how many bytes keys and values have.
func openFile(path string) (db *bbolt.DB, live int64, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, 0, err
	}
	if live, err = verify(b); err != nil {
		if inUse(path) {
			err = fmt.Errorf("%w: %s", ErrInUse, path) // it was read while it was written
		}
		return nil, 0, err
	}
	err = guarded(func() (err error) {
		db, err = bbolt.Open(path, 0o600, options())
		return err
	})
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return nil, 0, fmt.Errorf("%w: %s", ErrInUse, path)
	case err != nil && (errors.Is(err, fs.ErrPermission) || errors.As(err, new(*fs.PathError))):
		return nil, 0, fmt.Errorf("state: %w", err)
	case err != nil:
		return nil, 0, fmt.Errorf("%w: %w", errDamaged, err)
	}
	return db, live, nil
}

// guarded makes an error of a panic, and of a fault of the mapped file: bbolt trusts its pages.
func guarded(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errDamaged, p)
		}
	}()
	return f()
}

// create makes an empty file beside its place, and moves it there when it is whole.
func create(path string) (*bbolt.DB, error) {
	tmp := path + ".tmp"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("state: %w", err)
	}
	db, err := bbolt.Open(tmp, 0o600, options())
	if err != nil {
		return nil, fmt.Errorf("state: make %s: %w", path, err)
	}
	return move(db, tmp, path)
}

// move syncs and closes a whole file and opens it at its place.
func move(db *bbolt.DB, tmp, path string) (*bbolt.DB, error) {
	err := errors.Join(db.Sync(), db.Close())
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return nil, fmt.Errorf("state: make %s: %w", path, err)
	}
	db, _, err = openFile(path)
	return db, err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// compact writes a file anew that has become too large for what is in it. When that fails the file stays as it is.
func compact(db *bbolt.DB, path string, live int64, log *slog.Logger) (*bbolt.DB, error) {
	info, err := os.Stat(path)
	if err != nil || info.Size() <= max(small, slack*live) {
		return db, err
	}
	tmp := path + ".tmp"
	_ = os.Remove(tmp)
	to, err := bbolt.Open(tmp, 0o600, options())
	if err != nil {
		log.Warn("the agent's state can't be made smaller", "err", err)
		return db, nil
	}
	if err := bbolt.Compact(to, db, 64<<10); err != nil {
		log.Warn("the agent's state can't be made smaller", "err", err)
		return db, errors.Join(to.Close(), os.Remove(tmp))
	}
	if err := db.Close(); err != nil {
		return nil, err
	}
	return move(to, tmp, path)
}
