package upload

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/message"
)

// session is a file that comes in parts.
type session struct {
	*File
	key       string // by which the device finds it again
	done      bool
	partSize  int64
	multipart string // the blob store's id of the attempt; "" while all that has come are chunks
	begun     time.Time
	// stored is as the hub looked last, progress when that became more.
	stored   int64
	progress time.Time
	// What was staged up to sumAt is stored; sum is the text of the runningSum up to there, "" when there is none.
	sumAt int64
	sum   string
}

// parts is how many parts the file has.
func (s *session) parts() int { return int((s.Size + s.partSize - 1) / s.partSize) }

// sumTo is the digest of the file up to an offset; nil when it is not kept.
func (s *session) sumTo(at int64) *runningSum {
	switch at {
	case 0:
		return newSum()
	case s.sumAt:
		return parseSum(s.sum)
	}
	return nil
}

// partAt is the number of the part that has the byte at an offset.
func (s *session) partAt(offset int64) int { return int(offset/s.partSize) + 1 }

// part is the span of a part.
func (s *session) part(no int) span {
	return span{int64(no-1) * s.partSize, min(int64(no)*s.partSize, s.Size)}
}

// sessionQuery is of sessions that go on, and of those whose file has arrived.
var sessionQuery = `SELECT ` + strings.ReplaceAll(fileColumns, "id, device,", "device_file.id, device_file.device,") +
	`, state, res_key, part_size, multipart, created_at, stored, progress_at, sum, sum_at
	FROM upload_session JOIN device_file ON device_file.id = upload_session.file WHERE device_file.state <> 2 AND `

func scanSession(row scanner) (*session, error) {
	s := &session{}
	var state, begun, progress int64
	f, err := scanFile(more{row, []any{&state, &s.key, &s.partSize, &s.multipart, &begun, &s.stored, &progress, &s.sum, &s.sumAt}})
	s.File, s.done, s.begun, s.progress = f, state == 1, timeOf(begun), timeOf(max(begun, progress))
	return s, err
}

func (u *Uploads) readSession(ctx context.Context, where string, args ...any) (*session, error) {
	s, err := scanSession(u.Store.QueryRow(ctx, sessionQuery+where, args...))
	if errors.Is(err, store.ErrNoRows) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("upload: read session: %w", err)
	}
	return s, nil
}

func (u *Uploads) querySessions(ctx context.Context, where string, args ...any) (list []*session, err error) {
	rows, err := u.Store.Query(ctx, sessionQuery+where, args...)
	if err != nil {
		return nil, fmt.Errorf("upload: list sessions: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		s, err := scanSession(rows)
		if err != nil {
			return nil, fmt.Errorf("upload: list sessions: %w", err)
		}
		list = append(list, s)
	}
	return list, nil
}

// more scans further columns behind those of a file.
type more struct {
	row  scanner
	more []any
}

func (m more) Scan(dst ...any) error { return m.row.Scan(append(dst, m.more...)...) }

// errGone is a session that is not there.
func (u *Uploads) errGone() error {
	return u.refuse(message.CodeMissing, "there is no such upload: begin it again")
}

// mine is the session that a device names.
func (u *Uploads) mine(ctx context.Context, device int64, id string) (*session, error) {
	n, code := message.ParseID(id)
	if code != nil {
		return nil, u.errGone()
	}
	s, err := u.readSession(ctx, `upload_session.file = ? AND upload_session.device = ?`, int64(n), device)
	if errors.Is(err, ErrNotFound) {
		return nil, u.errGone()
	}
	return s, err
}

var classWord = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]{0,31}$`)

// checkSession reads what a device says of a file that is to come in parts.
func (u *Uploads) checkSession(r *message.UploadRequest) (*File, error) {
	f := &File{Name: r.FileName, Size: r.FileSize, SHA256: strings.ToLower(r.SHA256), Class: r.Class, ContentType: r.ContentType}
	if f.ContentType == "" {
		f.ContentType = defaultType
	}
	sum, err := hex.DecodeString(f.SHA256)
	switch {
	case f.Name == "" || f.SHA256 == "":
		return nil, u.refuse(message.CodeMissing, "FileName or SHA256 is missing")
	case !goodName(f.Name):
		return nil, u.refuse(message.CodeBad, fmt.Sprintf("FileName must be text of at most %d bytes", maxName))
	case err != nil || len(sum) != 32:
		return nil, u.refuse(message.CodeBad, "SHA256 must be 64 hex digits")
	case len(f.ContentType) > maxType || !goodName(f.ContentType):
		return nil, u.refuse(message.CodeBad, "Content-Type is malformed")
	case f.Class != "" && !classWord.MatchString(f.Class):
		return nil, u.refuse(message.CodeBad, "Class must be 1 to 32 of a-z 0-9 . _ -")
	case r.Key != "" && !goodName(r.Key):
		return nil, u.refuse(message.CodeBad, fmt.Sprintf("Key must be text of at most %d bytes", maxName))
	}
	return f, nil
}

// partSize is the size of a file's parts: what the device wishes, within the protocol's bounds and such that there are not too many.
func partSize(size, wish int64) int64 {
	const mib = 1 << 20
	least := (size + message.UploadPartsMost - 1) / message.UploadPartsMost
	n := max(wish, least, message.UploadPartMin)
	return min((n+mib-1)/mib*mib, message.UploadPartMax)
}

// begin finds the session of a key, or makes one.
func (u *Uploads) begin(ctx context.Context, dev *registry.Device, r *message.UploadRequest) (*session, error) {
	f, err := u.checkSession(r)
	if err != nil {
		return nil, err
	}
	key := r.Key
	if key == "" {
		key = f.SHA256
	}
	unlock, err := u.devices.lock(ctx, dev.ID) // a question asked twice, because its answer was late, begins one session
	if err != nil {
		return nil, err
	}
	defer unlock()
	old, err := u.readSession(ctx, `upload_session.device = ? AND upload_session.res_key = ?`, dev.ID, key)
	switch {
	case err == nil && old.SHA256 == f.SHA256 && old.Size == f.Size && old.Name == f.Name && old.Class == f.Class:
		return old, u.touch(ctx, old)
	case err == nil && !old.done: // the file has changed since
		if err := u.abandon(ctx, old); err != nil {
			return nil, err
		}
	case err != nil && !errors.Is(err, ErrNotFound):
		return nil, err
	}
	return u.create(ctx, dev, f, key, r.PartSize)
}

var (
	insertSessionFile = store.NewStmt(`INSERT INTO device_file (id, device, product, name, size, md5, content_type, created_at, expires_at, sha256, class)
	VALUES (?, ?, ?, ?, ?, '', ?, ?, ?, ?, ?)`)
	insertSession = store.NewStmt(`INSERT INTO upload_session (file, device, res_key, part_size, multipart) VALUES (?, ?, ?, ?, '')`)
	// forgetKey leaves the row, which knows what the object store has of the file, under a key that no device can name.
	forgetKey      = store.NewStmt(`UPDATE upload_session SET res_key = ? WHERE device = ? AND res_key = ?`)
	deleteSession  = store.NewStmt(`DELETE FROM upload_session WHERE file = ?`)
	prolongSession = store.NewStmt(`UPDATE device_file SET expires_at = ? WHERE id = ? AND state = 0`)
	beginMultipart = store.NewStmt(`UPDATE upload_session SET multipart = ? WHERE file = ? AND multipart = ''
		AND EXISTS (SELECT 1 FROM device_file WHERE id = file AND state = 0)`)
	noteChunk = store.NewStmt(`INSERT INTO upload_chunk (file, start, size) SELECT id, CAST(? AS BIGINT), CAST(? AS BIGINT) FROM device_file
		WHERE id = ? AND state = 0 ON CONFLICT (file, start) DO UPDATE SET size = excluded.size`)
	// dropMultipart has a session whose attempt is gone begin anew.
	dropMultipart  = store.NewStmt(`UPDATE upload_session SET multipart = '', sum = '', sum_at = 0 WHERE file = ? AND multipart = ?`)
	deleteChunks   = store.NewStmt(`DELETE FROM upload_chunk WHERE file = ?`)
	abandonSession = store.NewStmt(`UPDATE device_file SET state = 2 WHERE id = ? AND state = 0`)
)

func (u *Uploads) create(ctx context.Context, dev *registry.Device, f *File, key string, wish int64) (*session, error) {
	l, err := u.limits(ctx, dev.Identity.Product)
	if err != nil {
		return nil, err
	}
	if err := u.allows(ctx, l, dev, f); err != nil {
		return nil, err
	}
	if no, err := u.cancelled(ctx, dev.ID, key, f.SHA256); err != nil {
		return nil, err
	} else if no {
		return nil, u.refuse(message.CodeBad, "this upload was cancelled at the hub: it is taken again in a day")
	}
	now := u.now()
	f.ID, f.Device, f.Product, f.Expires = int64(u.IDs.Next()), dev.ID, dev.Identity.Product, now.Add(u.cfg.SessionLife)
	s := &session{File: f, key: key, partSize: partSize(f.Size, wish), begun: now, progress: now}
	err = u.Store.Do(ctx, &store.Unit{Device: dev.ID, Ops: []store.Op{
		forgetKey.Op(fmt.Sprintf("\x1f%d", f.ID), dev.ID, key),
		insertSessionFile.Op(f.ID, f.Device, f.Product, f.Name, f.Size, f.ContentType, now.UnixMilli(), f.Expires.UnixMilli(), f.SHA256, f.Class),
		insertSession.Op(f.ID, f.Device, key, s.partSize)}})
	if err != nil {
		return nil, fmt.Errorf("upload: begin session: %w", err)
	}
	u.sessions.WithLabelValues("begun").Inc()
	return s, nil
}

// touch has a session that makes progress go on; it is written once an hour at most.
func (u *Uploads) touch(ctx context.Context, s *session) error {
	until := u.now().Add(u.cfg.SessionLife)
	if s.done || until.Sub(s.Expires) < touchEvery {
		return nil
	}
	s.Expires = until
	if err := u.Store.Do(ctx, &store.Unit{Device: s.Device, Ops: []store.Op{prolongSession.Op(until.UnixMilli(), s.ID)}}); err != nil {
		return fmt.Errorf("upload: prolong session: %w", err)
	}
	return nil
}

// abandon ends a session whose file has not arrived. What has come is removed now, or by the next Trim.
func (u *Uploads) abandon(ctx context.Context, s *session) error { return u.end(ctx, s, "aborted") }

// end ends a session for a reason, in one commit with more.
func (u *Uploads) end(ctx context.Context, s *session, reason string, more ...store.Op) error {
	err := u.Store.Do(ctx, &store.Unit{Device: s.Device, Ops: append([]store.Op{abandonSession.Guard(s.ID)}, more...)})
	if errors.Is(err, store.ErrConflict) { // it has arrived, or was ended by somebody else
		return nil
	}
	if err != nil {
		return fmt.Errorf("upload: end session: %w", err)
	}
	u.sessions.WithLabelValues(reason).Inc()
	if err := u.remove(ctx, s.File); err != nil {
		u.Log.Warn("bytes of an upload that has ended are left, they are removed later", "file", s.ID, "err", err)
	}
	return nil
}
