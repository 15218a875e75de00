package artifact

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
)

// Kind is what a file of a release is. The numbers are stored.
type Kind uint8

// The kinds.
const (
	Image Kind = iota + 1
	Index
	Pack
	Delta
)

var kindNames = [...]string{"", "image", "index", "pack", "delta"}

func (k Kind) String() string { return kindNames[k] }

// ParseKind is the inverse of String.
func ParseKind(text string) (Kind, bool) {
	for k := Image; k <= Delta; k++ {
		if k.String() == text {
			return k, true
		}
	}
	return 0, false
}

// FileState is how far a file is. The numbers are stored.
type FileState uint8

// The states.
const (
	Missing FileState = iota // an image that is to be sent
	Waiting                  // the hub makes it, when the image is there
	Ready
	Failed // it could not be made
)

var fileStates = [...]string{"missing", "waiting", "ready", "failed"}

func (s FileState) String() string { return fileStates[s] }

// File is a file of a release.
type File struct {
	Release   int64
	Component string
	Kind      Kind
	Base      string // of a delta: the SHA-256 of the old image in hex
	Blob      string // its name in the blob store
	State     FileState
	Reason    string // why it could not be made
	Created   time.Time
	// Of the blob, when it is there.
	Size        int64
	SHA256, MD5 string // in hex; MD5 of images only
}

// blobName is where a file is: by what it is, so that it is there once.
func blobName(k Kind, names ...string) string {
	b := "ota/" + k.String()
	for _, n := range names {
		b += "/" + n
	}
	return b
}

// Files lists the files of a release, in the order of components and kinds.
func (r *Repository) Files(ctx context.Context, release int64) ([]File, error) {
	return r.files(ctx, `f.release = ? ORDER BY f.component, f.kind, f.base`, release)
}

// file is one of them; ErrNoFile when the release has none such.
func (r *Repository) file(ctx context.Context, release int64, component string, k Kind, base string) (*File, error) {
	list, err := r.files(ctx, `f.release = ? AND f.component = ? AND f.kind = ? AND f.base = ?`, release, component, int64(k), base)
	if err == nil && len(list) == 0 {
		err = ErrNoFile
	}
	if err != nil {
		return nil, err
	}
	return &list[0], nil
}

func (r *Repository) files(ctx context.Context, where string, args ...any) (list []File, err error) {
	rows, err := r.Store.Query(ctx, `SELECT f.release, f.component, f.kind, f.base, f.blob, f.state, f.reason, f.created_at,
		COALESCE(a.size, 0), COALESCE(a.sha256, ''), COALESCE(a.md5, '')
		FROM ota_release_file f LEFT JOIN ota_artifact a ON a.blob = f.blob AND a.state = 1 WHERE `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("artifact: read files: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		var f File
		var kind, state, created int64
		if err := rows.Scan(&f.Release, &f.Component, &kind, &f.Base, &f.Blob, &state, &f.Reason, &created, &f.Size, &f.SHA256, &f.MD5); err != nil {
			return nil, fmt.Errorf("artifact: read files: %w", err)
		}
		f.Kind, f.State, f.Created = Kind(kind), FileState(state), time.UnixMilli(created).UTC()
		list = append(list, f)
	}
	return list, nil
}

// Progress is what a release waits for.
type Progress struct{ Missing, Making, Failed int }

// Ready tells whether devices can have it.
func (p Progress) Ready() bool { return p == Progress{} }

// ProgressOf counts what keeps a release from its devices; deltas do not.
func ProgressOf(files []File) (p Progress) {
	for _, f := range files {
		switch {
		case f.Kind == Delta || f.State == Ready:
		case f.State == Missing:
			p.Missing++
		case f.State == Waiting:
			p.Making++
		default:
			p.Failed++
		}
	}
	return p
}

// reserve notes a blob that is about to be written, so that what a crash leaves of it is found again. ErrBusy while an older one of its name is on its
// way out; one that a release names is never put on that way.
func (r *Repository) reserve(ctx context.Context, name string) error {
	return r.update(ctx, "note blob", func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO ota_artifact (blob, size, sha256, state, used_at) VALUES (?, 0, '', 0, ?) ON CONFLICT (blob) DO NOTHING`,
			name, r.now().UnixMilli())
		if err != nil {
			return err
		}
		var state int64
		if err := tx.QueryRow(ctx, `SELECT state FROM ota_artifact WHERE blob = ?`, name).Scan(&state); err != nil {
			return err
		}
		if state == 2 {
			return ErrBusy
		}
		return nil
	})
}

// there makes a reserved blob one that is there, and the files that are in it: of an image those of the release's product; of what is made of the image of f's
// component, those of all who have that image.
func (r *Repository) there(ctx context.Context, tx *store.Tx, f *File, s sums) error {
	res, err := tx.Exec(ctx, `UPDATE ota_artifact SET size = ?, sha256 = ?, md5 = ?, state = 1, used_at = ? WHERE blob = ? AND state < 2`,
		s.size, s.sha256, s.md5, r.now().UnixMilli(), f.Blob)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return errors.Join(ErrBusy, err)
	}
	switch f.Kind {
	case Image:
		_, err = tx.Exec(ctx, `UPDATE ota_release_file SET state = 2, reason = '' WHERE blob = ?
			AND release IN (SELECT o.id FROM ota_release o JOIN ota_release mine ON mine.product = o.product WHERE mine.id = ?)`, f.Blob, f.Release)
	case Delta: // it is planned only where both images are
		_, err = tx.Exec(ctx, `UPDATE ota_release_file SET state = 2, reason = '' WHERE blob = ?`, f.Blob)
	default:
		err = made(ctx, tx, f)
	}
	return err
}

// made marks an index or a pack that is there as made, for all who have the image of f's component: the digest in a manifest is no leave to have it.
func made(ctx context.Context, tx *store.Tx, f *File) error {
	_, err := tx.Exec(ctx, `UPDATE ota_release_file SET state = 2, reason = '' WHERE blob = ? AND EXISTS (SELECT 1 FROM ota_artifact a WHERE a.blob = ota_release_file.blob AND a.state = 1)
		AND EXISTS (SELECT 1 FROM ota_release_file i JOIN ota_release_file mine ON mine.blob = i.blob AND mine.kind = 1 AND mine.release = ? AND mine.component = ?
			WHERE i.release = ota_release_file.release AND i.component = ota_release_file.component AND i.kind = 1 AND i.state = 2)`, f.Blob, f.Release, f.Component)
	return err
}
