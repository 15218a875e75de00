package upload

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/hawser-iot/hawser/cloud/blob"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/message"
)

// Errors of what comes in pieces, beside ErrLink and ErrNotFound.
var (
	// ErrChecksum: the bytes are not those of the checksum that came with them. Nothing of them is kept.
	ErrChecksum = errors.New("upload: other bytes than the checksum says")
	// ErrOffset: the relay goes on elsewhere: ask where.
	ErrOffset = errors.New("upload: the file goes on at another offset")
	// ErrSize: more or less came than belongs there.
	ErrSize = errors.New("upload: wrong number of bytes")
)

// Patch is what comes by the relay.
type Patch struct {
	Offset int64
	SHA256 [32]byte
	Data   io.Reader // at most message.UploadPatchMax bytes
}

// ticketed is the session that a URL stands for, whose device is still welcome.
func (u *Uploads) ticketed(ctx context.Context, t ticket) (*session, error) {
	s, err := u.readSession(ctx, `upload_session.file = ?`, t.file)
	if err != nil {
		return nil, err
	}
	dev, err := u.Registry.DeviceByID(ctx, s.Device)
	switch {
	case errors.Is(err, registry.ErrDeviceNotFound):
		return nil, ErrNotFound
	case err != nil:
		return nil, err
	case dev.State == registry.Disabled:
		return nil, ErrLink
	}
	return s, nil
}

// PutPart takes a part by the hub's own URL; size is the Content-Length, -1 when it is not said.
func (u *Uploads) PutPart(ctx context.Context, word string, size int64, data io.Reader) error {
	t, err := u.open(word, partTicket)
	if err != nil {
		return err
	}
	s, err := u.ticketed(ctx, t)
	if err != nil {
		return err
	}
	if s.done { // the answer was late
		return nil
	}
	if int(t.part) > s.parts() {
		return ErrLink
	}
	at := s.part(int(t.part))
	if size >= 0 && size != at.to-at.from {
		return fmt.Errorf("%w: part %d has %d", ErrSize, t.part, at.to-at.from)
	}
	_, err = u.Blobs.Put(ctx, s.chunkBlob(at.from), &verified{r: data, sum: sha256.New(), want: t.sha256[:]}, at.to-at.from)
	switch {
	case errors.Is(err, errChecksum):
		return ErrChecksum
	case errors.Is(err, blob.ErrSize), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: part %d has %d", ErrSize, t.part, at.to-at.from)
	case err != nil:
		return fmt.Errorf("upload: store part: %w", err)
	}
	return u.chunkStored(ctx, s, at, "part")
}

// chunkStored notes a chunk whose blob is there, in one commit with more; way is "" for bytes that are counted already. When the session has ended meanwhile nobody would remove the blob: it
// goes here.
func (u *Uploads) chunkStored(ctx context.Context, s *session, at span, way string, more ...store.Op) error {
	err := u.Store.Do(ctx, &store.Unit{Device: s.Device, Ops: append([]store.Op{noteChunk.Guard(at.from, at.to-at.from, s.ID)}, more...)})
	if errors.Is(err, store.ErrConflict) {
		if err := u.Blobs.Delete(ctx, s.chunkBlob(at.from)); err != nil {
			return fmt.Errorf("upload: delete chunk: %w", err)
		}
		now, err := u.readSession(ctx, `upload_session.file = ?`, s.ID)
		if err == nil && !now.done {
			err = ErrNotFound
		}
		return err
	}
	if err != nil {
		return fmt.Errorf("upload: note part: %w", err)
	}
	if way != "" {
		u.pieced.WithLabelValues(way).Add(float64(at.to - at.from))
	}
	return nil
}

// Offset is where the relay goes on, and the size of the file.
func (u *Uploads) Offset(ctx context.Context, word string) (at, size int64, err error) {
	t, err := u.open(word, relayTicket)
	if err != nil {
		return 0, 0, err
	}
	s, err := u.ticketed(ctx, t)
	if err != nil {
		return 0, 0, err
	}
	st, err := u.stocked(ctx, s)
	if err != nil {
		return 0, 0, err
	}
	return offset(st.covered(s)), s.Size, nil
}

// Patch takes the next bytes by the relay and returns where it goes on. They are on the disk, or in the bucket, when it returns.
func (u *Uploads) Patch(ctx context.Context, word string, p Patch) (next int64, err error) {
	t, err := u.open(word, relayTicket)
	if err != nil {
		return 0, err
	}
	buf := buffers.Get().(*bytes.Buffer)
	defer buffers.Put(buf)
	buf.Reset()
	// All of it first: a slow line must not hold the lock.
	_, err = buf.ReadFrom(io.LimitReader(p.Data, message.UploadPatchMax+1))
	data := buf.Bytes()
	switch {
	case err != nil:
		return 0, fmt.Errorf("upload: read patch: %w", err)
	case len(data) > message.UploadPatchMax:
		return 0, fmt.Errorf("%w: at most %d at a time", ErrSize, message.UploadPatchMax)
	case sha256.Sum256(data) != p.SHA256:
		return 0, ErrChecksum
	}
	unlock, err := u.locks.lock(ctx, t.file)
	if err != nil {
		return 0, err
	}
	defer unlock()
	s, err := u.ticketed(ctx, t)
	if err != nil {
		return 0, err
	}
	g, here, err := u.relayed(ctx, s)
	if err != nil {
		return 0, err
	}
	if g != nil {
		defer u.stage.put(g)
	}
	switch {
	case p.Offset != here:
		return here, ErrOffset
	case here+int64(len(data)) > s.Size:
		return here, fmt.Errorf("%w: the file has %d", ErrSize, s.Size)
	case len(data) == 0:
		return here, nil
	}
	if g == nil || u.stage.full() {
		next, err = u.patchBlob(ctx, s, g, data, here)
	} else {
		next, err = u.patchStage(ctx, s, g, data)
	}
	if err != nil {
		return 0, err
	}
	return next, u.touch(ctx, s)
}

// relayed is the log of a session, nil where there is none, and where the relay goes on. The caller holds the session's lock, and puts the log back.
func (u *Uploads) relayed(ctx context.Context, s *session) (g *staged, here int64, err error) {
	if u.stage == nil || s.done {
		st, err := u.stocked(ctx, s)
		if err != nil {
			return nil, 0, err
		}
		return nil, offset(st.covered(s)), nil
	}
	if g, err = u.stage.take(s.ID); err != nil {
		return nil, 0, err
	}
	if here, err = u.relayedTo(ctx, s, g); err != nil {
		u.stage.put(g)
		return nil, 0, err
	}
	return g, here, nil
}

// relayedTo is where the relay goes on behind a log, which begins anew there when something else is stored that reaches farther.
func (u *Uploads) relayedTo(ctx context.Context, s *session, g *staged) (int64, error) {
	if err := u.flushFull(ctx, s, g); err != nil {
		return 0, err
	}
	if g.sure && g.to > g.from && g.to != s.part(s.partAt(g.to-1)).to { // in the middle of a part: what else came does not matter before its end
		return g.to, nil
	}
	st, err := u.stocked(ctx, s)
	if err != nil {
		return 0, err
	}
	here := offset(st.covered(s))
	switch {
	case here == g.to && g.size > 0:
		err = g.resum(s)
	case u.multi == nil && g.size > 0: // parts behind it came directly
		if err = u.flush(ctx, s, g); err == nil {
			err = u.stage.empty(g, here, nil)
		}
	default:
		err = u.stage.empty(g, here, s.sumTo(here))
	}
	g.sure = err == nil
	return here, err
}

// patchBlob stores a patch as a blob of its own: any node goes on behind it.
func (u *Uploads) patchBlob(ctx context.Context, s *session, g *staged, data []byte, here int64) (int64, error) {
	if g != nil && g.to > g.from { // there is no room for more beside it
		if err := u.flush(ctx, s, g); err != nil {
			return 0, err
		}
	}
	at := span{here, here + int64(len(data))}
	if err := u.tooMany(ctx, s, at); err != nil {
		return 0, err
	}
	if _, err := u.Blobs.Put(ctx, s.chunkBlob(at.from), bytes.NewReader(data), int64(len(data))); err != nil {
		return 0, fmt.Errorf("upload: store patch: %w", err)
	}
	if err := u.chunkStored(ctx, s, at, "relay", noteProgress.Op(max(s.stored, at.to), u.now().UnixMilli(), s.ID)); err != nil {
		return 0, err
	}
	if g != nil {
		if err := u.stage.empty(g, at.to, nil); err != nil {
			return 0, err
		}
		g.sure = false
	}
	return at.to, nil
}

// Of an upload there are at most shortPatches chunks before one that is shorter than shortPatch: each is a row and a blob, whatever it holds.
const (
	shortPatch   = 4 << 10
	shortPatches = 4096
)

func (u *Uploads) tooMany(ctx context.Context, s *session, at span) error {
	if at.to-at.from >= shortPatch || at.to == s.Size {
		return nil
	}
	var n int
	if err := u.Store.QueryRow(ctx, `SELECT COUNT(*) FROM upload_chunk WHERE file = ?`, s.ID).Scan(&n); err != nil {
		return fmt.Errorf("upload: count chunks: %w", err)
	}
	if n >= shortPatches {
		return fmt.Errorf("%w: too many short ones, send %d at a time", ErrSize, shortPatch)
	}
	return nil
}

// patchStage adds a patch to a log, and moves on what is a whole part then.
func (u *Uploads) patchStage(ctx context.Context, s *session, g *staged, data []byte) (int64, error) {
	for len(data) > 0 {
		n := min(int64(len(data)), s.part(s.partAt(g.to)).to-g.to)
		if err := u.stage.add(g, data[:n]); err != nil {
			return 0, err
		}
		u.pieced.WithLabelValues("relay").Add(float64(n))
		data = data[n:]
		if err := u.flushFull(ctx, s, g); err != nil {
			return 0, err
		}
	}
	return g.to, nil
}

// flushFull moves a log to a blob store that takes parts when one ends where it does. For any other the file waits in it as a whole.
func (u *Uploads) flushFull(ctx context.Context, s *session, g *staged) error {
	if u.multi == nil || g.to == g.from || g.to != s.part(s.partAt(g.to-1)).to {
		return nil
	}
	if s.sumAt == g.to { // it was moved before a crash
		return u.stage.empty(g, g.to, s.sumTo(g.to))
	}
	if err := g.resum(s); err != nil {
		return err
	}
	return u.flush(ctx, s, g)
}

// noteSum is written when what was staged up to sum_at is stored.
var noteSum = store.NewStmt(`UPDATE upload_session SET sum = ?, sum_at = ?, stored = ?, progress_at = ? WHERE file = ?`)

// flush moves a log to the blob store: as a part where it is one and the store takes parts, as a blob of the hub's own otherwise.
func (u *Uploads) flush(ctx context.Context, s *session, g *staged) error {
	var digest [sha256.Size]byte
	if g.part != nil {
		g.part.Sum(digest[:0])
	}
	text := ""
	if g.sum != nil {
		after := *g.sum
		after.parts = next(after.parts, digest)
		text = after.text()
	}
	note := noteSum.Op(text, g.to, max(s.stored, g.to), u.now().UnixMilli(), s.ID)
	var err error
	if no := s.partAt(g.from); u.multi != nil && g.span == s.part(no) {
		err = u.flushPart(ctx, s, g, blob.Part{No: no, Size: g.to - g.from, SHA256: digest}, note)
	} else {
		text, err = u.flushChunk(ctx, s, g, text, note)
	}
	if err != nil {
		return err
	}
	s.sum, s.sumAt, s.stored = text, g.to, max(s.stored, g.to)
	return u.stage.empty(g, g.to, parseSum(text))
}

func (u *Uploads) flushPart(ctx context.Context, s *session, g *staged, p blob.Part, note store.Op) error {
	if err := u.openMultipart(ctx, s); err != nil {
		return err
	}
	err := u.multi.PutPart(ctx, s.Blob(), s.multipart, p, g.reader())
	if errors.Is(err, blob.ErrNotFound) {
		return errors.Join(err, u.forgetMultipart(ctx, s))
	}
	if err != nil {
		return fmt.Errorf("upload: store part %d of file %d: %w", p.No, s.ID, err)
	}
	if err := u.Store.Do(ctx, &store.Unit{Device: s.Device, Ops: []store.Op{note}}); err != nil {
		return fmt.Errorf("upload: note part: %w", err)
	}
	return nil
}

// flushChunk returns the text of the digest up to the log's end: that of bytes which came another way meanwhile is not known. Those stay, for they reach
// at least as far.
func (u *Uploads) flushChunk(ctx context.Context, s *session, g *staged, text string, note store.Op) (string, error) {
	list, err := u.chunks(ctx, s.ID)
	if err != nil {
		return "", err
	}
	if slices.ContainsFunc(list, func(c span) bool { return c.from <= g.from && c.to >= g.to }) {
		return "", nil
	}
	if _, err := u.Blobs.Put(ctx, s.chunkBlob(g.from), g.reader(), g.to-g.from); err != nil {
		return "", fmt.Errorf("upload: store bytes from %d of file %d: %w", g.from, s.ID, err)
	}
	return text, u.chunkStored(ctx, s, g.span, "", note)
}

// Drop ends a session by its relay URL.
func (u *Uploads) Drop(ctx context.Context, word string) error {
	t, err := u.open(word, relayTicket)
	if err != nil {
		return err
	}
	s, err := u.ticketed(ctx, t)
	if err != nil || s.done {
		return err
	}
	return u.abandon(ctx, s)
}
