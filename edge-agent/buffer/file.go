package buffer

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

var (
	bucketRecords = []byte("records")
	bucketMeta    = []byte("meta")
	keyFormat     = []byte("format")
)

// fileFormat counts changes of the file that an older agent can't read.
// 1 (2026-11): buckets meta and records as FORMAT.md draws them.
const fileFormat = 1

// A file is compacted at start when it is this many times larger than its
// records, and not small anyway.
const (
	compactRatio = 4
	compactFloor = 1 << 20
)

// held is what an opened file contains.
type held struct{ records, bytes int64 }

func options() *bbolt.Options {
	return &bbolt.Options{Timeout: time.Second, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType}
}

// openFile opens path, creating, repairing or compacting it as need be.
func openFile(path string, log *slog.Logger) (*bbolt.DB, held, error) {
	if err := createFile(path); err != nil {
		return nil, held{}, err
	}
	db, h, err := loadFile(path)
	if damaged(err) {
		log.Error("the buffer file is damaged; it is set aside and its messages are lost", "path", path, "err", err)
		if err := setAside(path, log); err != nil {
			return nil, held{}, err
		}
		if err := createFile(path); err != nil {
			return nil, held{}, err
		}
		db, h, err = loadFile(path)
	}
	if err != nil {
		return nil, held{}, err
	}
	return compactIfWorth(path, db, h, log)
}

// createFile makes an empty database beside path and renames it, so that a crash
// never leaves half a file under that name.
func createFile(path string) error {
	// An empty file holds nothing to lose: some installers leave one.
	if st, err := os.Stat(path); err == nil && st.Size() > 0 {
		return nil
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("open buffer %s: %w", path, err)
	}
	tmp := path + ".tmp"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("create buffer %s: %w", path, err)
	}
	db, err := bbolt.Open(tmp, 0o600, options())
	if err != nil {
		return fmt.Errorf("create buffer %s: %w", path, err)
	}
	err = errors.Join(db.Update(initialise), db.Close())
	if err != nil {
		return fmt.Errorf("create buffer %s: %w", path, err)
	}
	return replace(tmp, path)
}

func initialise(tx *bbolt.Tx) error {
	if _, err := tx.CreateBucketIfNotExists(bucketRecords); err != nil {
		return err
	}
	meta, err := tx.CreateBucketIfNotExists(bucketMeta)
	if err != nil {
		return err
	}
	return meta.Put(keyFormat, []byte{fileFormat})
}

// replace renames tmp, which is synced, to path and syncs the folder.
func replace(tmp, path string) error {
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("buffer: %w", err)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("buffer: %w", err)
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil {
		return fmt.Errorf("buffer: sync %s: %w", dir.Name(), err)
	}
	return nil
}

// errDamaged wraps what shows that the file can't be read.
var errDamaged = errors.New("buffer: damaged file")

func damaged(err error) bool {
	return errors.Is(err, errDamaged) || errors.Is(err, berrors.ErrInvalid) || errors.Is(err, berrors.ErrChecksum) ||
		errors.Is(err, berrors.ErrVersionMismatch) || errors.Is(err, berrors.ErrInvalidMapping)
}

// loadFile opens path for use. bbolt panics on some damage, partly in goroutines
// of its own, so inspect has to find it first.
func loadFile(path string) (*bbolt.DB, held, error) {
	h, err := inspect(path)
	if err != nil {
		return nil, held{}, err
	}
	db, err := openDB(path, options())
	return db, h, err
}

func openDB(path string, o *bbolt.Options) (*bbolt.DB, error) {
	db, err := bbolt.Open(path, 0o600, o)
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return nil, fmt.Errorf("%w: %s", ErrInUse, path)
	case err != nil:
		return nil, fmt.Errorf("open buffer %s: %w", path, err)
	}
	return db, nil
}

// inspect walks every page in use without changing the file, and counts the
// records. A panic, or the fault of a page that a truncated file no longer has,
// becomes an error that damaged knows.
func inspect(path string) (h held, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	o := options()
	o.ReadOnly = true
	db, err := openDB(path, o)
	if err != nil {
		return held{}, err
	}
	defer func() {
		if p := recover(); p != nil {
			h, err = held{}, fmt.Errorf("%w: %v", errDamaged, p)
		}
		err = errors.Join(err, db.Close())
	}()
	err = db.View(func(tx *bbolt.Tx) error { return count(tx, &h) })
	return h, err
}

func count(tx *bbolt.Tx, h *held) error {
	meta, records := tx.Bucket(bucketMeta), tx.Bucket(bucketRecords)
	if meta == nil || records == nil {
		return fmt.Errorf("%w: a bucket is missing", errDamaged)
	}
	switch v := meta.Get(keyFormat); {
	case len(v) != 1:
		return fmt.Errorf("%w: no format", errDamaged)
	case v[0] > fileFormat:
		return fmt.Errorf("%w: %d, this agent knows %d", ErrNewerFormat, v[0], fileFormat)
	}
	// Keys that do not ascend mean that a page is referred to twice.
	var last uint64
	return records.ForEach(func(k, v []byte) error {
		seq := sequence(k)
		if seq <= last {
			return fmt.Errorf("%w: record %d after %d", errDamaged, seq, last)
		}
		last = seq
		h.records++
		h.bytes += storedSize(v)
		return nil
	})
}

// setAside keeps a damaged file for whoever wants to look into it; only the
// newest one, since a gateway's disk is small.
func setAside(path string, log *slog.Logger) error {
	aside := path + ".damaged"
	if err := os.Rename(path, aside); err != nil {
		return fmt.Errorf("set the damaged buffer aside: %w", err)
	}
	log.Warn("the damaged buffer file was kept", "path", aside)
	return nil
}

// compactIfWorth rewrites a file that is mostly free pages: bbolt never gives
// them back, and writes the list of them with every commit.
func compactIfWorth(path string, db *bbolt.DB, h held, log *slog.Logger) (*bbolt.DB, held, error) {
	st, err := os.Stat(path)
	if err != nil || st.Size() < compactFloor || st.Size() < compactRatio*h.bytes {
		return db, h, nil
	}
	if err := compact(path, db); err != nil {
		// The old file is whole: go on with it.
		log.Warn("the buffer file could not be compacted", "path", path, "err", err)
		return db, h, nil
	}
	if err := db.Close(); err != nil {
		return nil, held{}, fmt.Errorf("close the old buffer: %w", err)
	}
	if err := replace(path+".tmp", path); err != nil {
		return nil, held{}, err
	}
	return loadFile(path)
}

func compact(path string, db *bbolt.DB) error {
	tmp := path + ".tmp"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	dst, err := bbolt.Open(tmp, 0o600, options())
	if err != nil {
		return err
	}
	return errors.Join(bbolt.Compact(dst, db, 1<<20), dst.Close())
}
