package upload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/shortlink"
	"github.com/hawser-iot/hawser/cloud/store"
)

const fileColumns = `id, device, product, name, size, md5, content_type, received_at, expires_at, sha256, class`

type scanner interface{ Scan(dst ...any) error }

func scanFile(row scanner) (*File, error) {
	var f File
	var received, expires int64
	err := row.Scan(&f.ID, &f.Device, &f.Product, &f.Name, &f.Size, &f.MD5, &f.ContentType, &received, &expires, &f.SHA256, &f.Class)
	f.Received, f.Expires = timeOf(received), timeOf(expires)
	return &f, err
}

func timeOf(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func (u *Uploads) read(ctx context.Context, where string, args ...any) (*File, error) {
	f, err := scanFile(u.Store.QueryRow(ctx, `SELECT `+fileColumns+` FROM device_file WHERE `+where, args...))
	if errors.Is(err, store.ErrNoRows) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("upload: read file: %w", err)
	}
	return f, nil
}

// File is a file of a device that has arrived.
func (u *Uploads) File(ctx context.Context, device, id int64) (*File, error) {
	return u.read(ctx, `id = ? AND device = ? AND state = 1`, id, device)
}

// Files lists the files of a device that have arrived, newest first; before is the id of the last one of the page before, 0 for the
// first page.
func (u *Uploads) Files(ctx context.Context, device, before int64, limit int) (list []*File, err error) {
	where, args := `device = ? AND state = 1`, []any{device}
	if before != 0 {
		where, args = where+` AND id < ?`, append(args, before)
	}
	return u.query(ctx, where+` ORDER BY id DESC LIMIT ?`, append(args, limit)...)
}

// Search says which files are wanted; what is zero, or nil, is any.
type Search struct {
	Product          string // must be given
	Device           int64
	Name             string
	Pattern          string // of the name; * stands for any characters. Whether the case of letters matters is the store's
	Class            string
	From, To         time.Time // received from, and before
	MinSize, MaxSize *int64
}

func (s *Search) where() (string, []any) {
	where, args := `product = ? AND state = 1`, []any{s.Product}
	if s.Device != 0 {
		where, args = where+` AND device = ?`, append(args, s.Device)
	}
	if s.Name != "" {
		where, args = where+` AND name = ?`, append(args, s.Name)
	}
	if s.Pattern != "" {
		where, args = where+` AND name LIKE ? ESCAPE '!'`, append(args, likeOf.Replace(s.Pattern))
	}
	if s.Class != "" {
		where, args = where+` AND class = ?`, append(args, s.Class)
	}
	for _, c := range []struct {
		where string
		at    time.Time
	}{{` AND received_at >= ?`, s.From}, {` AND received_at < ?`, s.To}} {
		if !c.at.IsZero() {
			where, args = where+c.where, append(args, c.at.UnixMilli())
		}
	}
	if s.MinSize != nil {
		where, args = where+` AND size >= ?`, append(args, *s.MinSize)
	}
	if s.MaxSize != nil {
		where, args = where+` AND size <= ?`, append(args, *s.MaxSize)
	}
	return where, args
}

var likeOf = strings.NewReplacer("!", "!!", "%", "!%", "_", "!_", "*", "%")

// Search lists files that have arrived, newest first, with the serial numbers of their devices; before is as in Files.
func (u *Uploads) Search(ctx context.Context, s Search, before int64, limit int) (list []*File, err error) {
	where, args := s.where()
	if before != 0 {
		where, args = where+` AND id < ?`, append(args, before)
	}
	if list, err = u.query(ctx, where+` ORDER BY id DESC LIMIT ?`, append(args, limit)...); err != nil {
		return nil, err
	}
	for _, f := range list {
		dev, err := u.Registry.DeviceByID(ctx, f.Device)
		switch {
		case err == nil:
			f.DeviceSN = dev.Identity.SN
		case !errors.Is(err, registry.ErrDeviceNotFound): // it was deleted, its files go soon
			return nil, err
		}
	}
	return list, nil
}

// Find lists files that have arrived, newest first, and says how many there are over all pages.
func (u *Uploads) Find(ctx context.Context, s Search, offset, limit int) (list []*File, total int, err error) {
	where, args := s.where()
	if err := u.Store.QueryRow(ctx, `SELECT COUNT(*) FROM device_file WHERE `+where, args...).Scan(&total); err != nil {
		return nil, 0, fmt.Errorf("upload: count files: %w", err)
	}
	list, err = u.query(ctx, where+` ORDER BY id DESC LIMIT ? OFFSET ?`, append(args, limit, offset)...)
	return list, total, err
}

func (u *Uploads) query(ctx context.Context, where string, args ...any) (list []*File, err error) {
	rows, err := u.Store.Query(ctx, `SELECT `+fileColumns+` FROM device_file WHERE `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("upload: list files: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		f, err := scanFile(rows)
		if err != nil {
			return nil, fmt.Errorf("upload: list files: %w", err)
		}
		list = append(list, f)
	}
	return list, nil
}

// Content reads a file.
func (u *Uploads) Content(ctx context.Context, f *File) (io.ReadCloser, error) {
	return u.Range(ctx, f, 0, -1)
}

// Range reads n bytes of a file from an offset on; -1 is to its end.
func (u *Uploads) Range(ctx context.Context, f *File, from, n int64) (io.ReadCloser, error) {
	r, _, err := u.Blobs.Get(ctx, f.Blob(), from, n)
	if err != nil {
		return nil, fmt.Errorf("upload: read file %d: %w", f.ID, err)
	}
	return r, nil
}

// MaxLinkLife is how long a link to a file may hold.
const MaxLinkLife = 30 * 24 * time.Hour

// Link is a URL that a file can be downloaded by without a key, for as long as life, or as the file is kept.
func (u *Uploads) Link(f *File, life time.Duration) (url string, until time.Time) {
	until = u.now().Add(min(life, MaxLinkLife)).Truncate(time.Second)
	if !f.Expires.IsZero() && f.Expires.Before(until) {
		until = f.Expires.Truncate(time.Second)
	}
	return u.Links.URL(shortlink.Link{Kind: shortlink.File, ID: f.ID, Until: until}), until
}

// Linked is the file of a Link's token; ErrNotFound also for a token of another kind, or one that has expired.
func (u *Uploads) Linked(ctx context.Context, token string) (*File, error) {
	link, err := u.Links.Open(token)
	if err != nil || link.Kind != shortlink.File {
		return nil, ErrNotFound
	}
	return u.read(ctx, `id = ? AND state = 1`, link.ID)
}

// Delete deletes a file. It is gone when its row says so; bytes that could not be removed then go with the next Trim.
func (u *Uploads) Delete(ctx context.Context, device, id int64) error {
	f, err := u.File(ctx, device, id)
	if err != nil {
		return err
	}
	if err := u.Store.Do(ctx, &store.Unit{Device: device, Ops: []store.Op{dropFile.Op(id)}}); err != nil {
		return fmt.Errorf("upload: delete file %d: %w", id, err)
	}
	if err := u.remove(ctx, f); err != nil {
		u.Log.Warn("bytes of a deleted file are left, they are removed later", "file", id, "err", err)
	}
	return nil
}

var (
	dropFile   = store.NewStmt(`UPDATE device_file SET state = 2 WHERE id = ?`)
	deleteFile = store.NewStmt(`DELETE FROM device_file WHERE id = ?`)
)

// remove removes a file, its bytes first: a row without bytes is removed by the next Trim, bytes without a row by nobody.
func (u *Uploads) remove(ctx context.Context, f *File) error {
	if err := u.dropSession(ctx, f); err != nil {
		return err
	}
	if err := u.Blobs.Delete(ctx, f.Blob()); err != nil {
		return fmt.Errorf("upload: delete file %d: %w", f.ID, err)
	}
	if err := u.Store.Do(ctx, &store.Unit{Device: f.Device, Ops: []store.Op{deleteFile.Op(f.ID), deleteSession.Op(f.ID)}}); err != nil {
		return fmt.Errorf("upload: delete file %d: %w", f.ID, err)
	}
	return nil
}

// trimBatch is how many files Trim looks up at a time; trimGrace how long it leaves a permission that has ended, for what began to
// come in just before.
const (
	trimBatch = 200
	trimGrace = time.Hour
)

var (
	// dropExpired ends what Trim has found, unless it was prolonged, or has arrived, since.
	dropExpired     = store.NewStmt(`UPDATE device_file SET state = 2 WHERE id = ? AND expires_at = ?`)
	forgetCancelled = store.NewStmt(`DELETE FROM upload_cancelled WHERE until < ?`)
)

// Trim removes permissions that have ended, files that were kept for long enough, what is left of deleted ones, and those of devices
// that are gone. One that cannot be removed does not keep the others.
func (u *Uploads) Trim(ctx context.Context, now time.Time) (removed int, err error) {
	if err := u.Store.Do(ctx, &store.Unit{Ops: []store.Op{forgetCancelled.Op(now.UnixMilli())}}); err != nil {
		return 0, fmt.Errorf("upload: forget what was cancelled: %w", err)
	}
	if err := u.sweep(ctx, now); err != nil {
		return 0, err
	}
	var open int64
	if err := u.Store.QueryRow(ctx, `SELECT COUNT(*) FROM device_file WHERE state = 0 AND sha256 <> ''`).Scan(&open); err != nil {
		return 0, fmt.Errorf("upload: count sessions: %w", err)
	}
	u.coming.Set(float64(open))
	for after := int64(0); ; {
		list, errList := u.query(ctx, `id > ? AND (expires_at <> 0 AND expires_at < ? AND (state = 1 OR expires_at < ?)
			OR state = 2 OR NOT EXISTS (SELECT 1 FROM device WHERE device.id = device_file.device)) ORDER BY id LIMIT ?`,
			after, now.UnixMilli(), now.Add(-trimGrace).UnixMilli(), trimBatch)
		if errList != nil || len(list) == 0 {
			return removed, errors.Join(err, errList)
		}
		for _, f := range list {
			after = f.ID
			errOne := u.expire(ctx, f)
			if ctx.Err() != nil {
				return removed, ctx.Err()
			}
			switch {
			case errOne == nil:
				removed++
			case !errors.Is(errOne, store.ErrConflict) && err == nil:
				err = errOne
			}
		}
	}
}

func (u *Uploads) expire(ctx context.Context, f *File) error {
	if err := u.Store.Do(ctx, &store.Unit{Device: f.Device, Ops: []store.Op{dropExpired.Guard(f.ID, millis(f.Expires))}}); err != nil {
		return err
	}
	return u.remove(ctx, f)
}

// sweep removes what is staged of files that have no session: it came while that ended.
func (u *Uploads) sweep(ctx context.Context, now time.Time) error {
	if u.stage == nil {
		return nil
	}
	ids, err := u.stage.old(now.Add(-trimGrace))
	if err != nil {
		return err
	}
	for _, id := range ids {
		_, err := u.read(ctx, `id = ? AND state = 0`, id)
		if errors.Is(err, ErrNotFound) {
			err = u.stage.drop(id)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
