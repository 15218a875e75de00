package upload

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/hawser-iot/hawser/cloud/blob"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/message"
)

// check is the reading of a file that is complete, as its device says. It goes on when nobody waits any more.
type check struct {
	s    *session
	done chan struct{} // closed when err is set
	err  error
}

// complete begins to read the whole of a file, or asks how that goes on, and waits a little for the end of it.
func (u *Uploads) complete(ctx context.Context, s *session) (*message.UploadReply, error) {
	st, err := u.stocked(ctx, s)
	if err != nil {
		return nil, err
	}
	if s.done {
		return u.state(s, st), nil
	}
	covered := st.covered(s)
	if s.Size > 0 && (len(covered) != 1 || covered[0] != span{0, s.Size}) {
		return nil, u.refuse(message.CodeRange, "parts are missing: ask for the status")
	}
	c, err := u.startCheck(s)
	if err != nil {
		return nil, err
	}
	wait := time.NewTimer(u.cfg.CheckWait)
	defer wait.Stop()
	select {
	case <-c.done:
		if c.err != nil {
			return nil, c.err
		}
		s.done = true
	case <-wait.C:
	case <-ctx.Done():
	}
	a := u.state(s, &stock{whole: true})
	if !s.done {
		a.State = message.UploadChecking
	}
	return a, nil
}

// startCheck has a file read, once at a time. The checks wait in a queue; when that is full the device asks again.
func (u *Uploads) startCheck(s *session) (*check, error) {
	u.checkMu.Lock()
	defer u.checkMu.Unlock()
	if c := u.checking[s.ID]; c != nil {
		return c, nil
	}
	own := *s // who waits reads his own
	c := &check{s: &own, done: make(chan struct{})}
	select {
	case u.checks <- c:
		u.checking[s.ID] = c
		return c, nil
	default:
		return nil, u.busy()
	}
}

func (u *Uploads) runCheck(ctx context.Context, c *check) {
	c.err = u.finish(ctx, c.s)
	u.checkMu.Lock()
	delete(u.checking, c.s.ID)
	u.checkMu.Unlock()
	close(c.done)
}

// finish makes the file whole, reads it once more where it did not pass through here, and lists it.
func (u *Uploads) finish(ctx context.Context, s *session) error {
	sum, err := u.assemble(ctx, s)
	if err == nil && sum != s.SHA256 {
		err = errChecksum
	}
	if errors.Is(err, errChecksum) {
		if err := u.abandon(ctx, s); err != nil {
			return err
		}
		return u.refuse(message.CodeBad, "the SHA256 of what came is not that of the file: begin it again")
	}
	if err != nil {
		return err
	}
	f := *s.File
	if err := u.arrived(ctx, &f); err != nil {
		return err
	}
	u.sessions.WithLabelValues("done").Inc()
	if err := u.dropChunks(ctx, s.File); err != nil {
		u.Log.Warn("parts of a file that has arrived are left, they are removed later", "file", s.ID, "err", err)
	}
	return nil
}

// assemble makes one blob of what there is and returns its SHA-256.
func (u *Uploads) assemble(ctx context.Context, s *session) (string, error) {
	if err := u.flushRest(ctx, s); err != nil {
		return "", err
	}
	st, err := u.stocked(ctx, s)
	if err != nil {
		return "", err
	}
	if s.multipart == "" || u.multi == nil {
		return s.SHA256, u.join(ctx, s, st)
	}
	if !st.whole {
		sum, err := u.joinParts(ctx, s, st)
		if err != nil || sum != "" {
			return sum, err
		}
	}
	return u.sumOf(ctx, s.Blob())
}

// flushRest moves on a whole part that is still staged, because the blob store was away when it became one, and reads the session anew.
func (u *Uploads) flushRest(ctx context.Context, s *session) error {
	if u.stage == nil {
		return nil
	}
	unlock, err := u.locks.lock(ctx, s.ID)
	if err != nil {
		return err
	}
	defer unlock()
	now, err := u.readSession(ctx, `upload_session.file = ?`, s.ID)
	if err != nil {
		return err
	}
	*s = *now
	if at, err := u.stage.at(s.ID); err != nil || at.to == at.from {
		return err
	}
	g, err := u.stage.take(s.ID)
	if err != nil {
		return err
	}
	defer u.stage.put(g)
	return u.flushFull(ctx, s, g)
}

// join writes what is staged and the chunks one behind the other while their digest is taken.
func (u *Uploads) join(ctx context.Context, s *session, st *stock) error {
	if st.staged.to > st.staged.from {
		return u.joinStaged(ctx, s)
	}
	src := u.pieces(ctx, s, st, span{0, s.Size})
	if err := errors.Join(u.putWhole(ctx, s, src), src.Close()); err != nil {
		return fmt.Errorf("upload: join file %d: %w", s.ID, err)
	}
	return nil
}

func (u *Uploads) putWhole(ctx context.Context, s *session, src io.Reader) error {
	want, _ := hex.DecodeString(s.SHA256) // checked when it came
	_, err := u.Blobs.Put(ctx, s.Blob(), &verified{r: src, sum: sha256.New(), want: want}, s.Size)
	return err
}

// joinStaged is join for a file of which something is staged: all of it, or what becomes a chunk beside others.
func (u *Uploads) joinStaged(ctx context.Context, s *session) error {
	unlock, err := u.locks.lock(ctx, s.ID)
	if err != nil {
		return err
	}
	defer unlock()
	g, err := u.stage.take(s.ID)
	if err != nil {
		return err
	}
	defer u.stage.put(g)
	if g.span == (span{0, s.Size}) {
		if err := u.putWhole(ctx, s, g.reader()); err != nil {
			return fmt.Errorf("upload: join file %d: %w", s.ID, err)
		}
		return nil
	}
	if g.size > 0 {
		if err := u.flush(ctx, s, g); err != nil {
			return err
		}
	}
	st, err := u.stocked(ctx, s)
	if err != nil {
		return err
	}
	return u.join(ctx, s, st)
}

// joinParts puts the parts that came by the relay beside the others and has the object store make one object of all. It returns the digest of the
// whole when all of it has passed through here, "" otherwise.
func (u *Uploads) joinParts(ctx context.Context, s *session, st *stock) (sum string, err error) {
	there := map[int]bool{}
	for _, p := range st.parts {
		there[p.No] = true
	}
	for no := 1; no <= s.parts(); no++ {
		if there[no] {
			continue
		}
		if err := u.relayPart(ctx, s, st, no); err != nil {
			return "", err
		}
	}
	if len(there) < s.parts() {
		if st, err = u.stocked(ctx, s); err != nil {
			return "", err
		}
	}
	if len(st.parts) != s.parts() {
		return "", fmt.Errorf("%w: file %d has %d of %d parts", errHole, s.ID, len(st.parts), s.parts())
	}
	if r := parseSum(s.sum); r != nil && s.sumAt == s.Size && r.parts == chain(st.parts) {
		sum = r.String()
		if sum != s.SHA256 {
			return sum, nil // it need not be made
		}
	}
	if err := u.multi.Assemble(ctx, s.Blob(), s.multipart, st.parts); err != nil {
		return "", fmt.Errorf("upload: assemble file %d: %w", s.ID, err)
	}
	return sum, nil
}

// relayPart makes a part of chunks. They are read twice: the object store wants to know the digest first.
func (u *Uploads) relayPart(ctx context.Context, s *session, st *stock, no int) error {
	at, h := s.part(no), sha256.New()
	src := u.pieces(ctx, s, st, at)
	_, err := io.Copy(h, src)
	if err := errors.Join(err, src.Close()); err != nil {
		return fmt.Errorf("upload: read part %d of file %d: %w", no, s.ID, err)
	}
	src = u.pieces(ctx, s, st, at)
	err = u.multi.PutPart(ctx, s.Blob(), s.multipart, blob.Part{No: no, Size: at.to - at.from, SHA256: [32]byte(h.Sum(nil))}, src)
	if err := errors.Join(err, src.Close()); err != nil {
		return fmt.Errorf("upload: put part %d of file %d: %w", no, s.ID, err)
	}
	return nil
}

func (u *Uploads) sumOf(ctx context.Context, name string) (string, error) {
	r, _, err := u.Blobs.Get(ctx, name, 0, -1)
	if err != nil {
		return "", fmt.Errorf("upload: read %s: %w", name, err)
	}
	h := sha256.New()
	_, err = io.CopyBuffer(h, struct{ io.Reader }{r}, make([]byte, 256<<10))
	if err := errors.Join(err, r.Close()); err != nil {
		return "", fmt.Errorf("upload: read %s: %w", name, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// dropChunks removes the pieces of a file, their bytes first.
func (u *Uploads) dropChunks(ctx context.Context, f *File) error {
	if err := u.dropStaged(ctx, f.ID); err != nil {
		return err
	}
	list, err := u.chunks(ctx, f.ID)
	if err != nil || len(list) == 0 {
		return err
	}
	for _, c := range list {
		if err := u.Blobs.Delete(ctx, (&session{File: f}).chunkBlob(c.from)); err != nil {
			return fmt.Errorf("upload: delete chunk: %w", err)
		}
	}
	if err := u.Store.Do(ctx, &store.Unit{Device: f.Device, Ops: []store.Op{deleteChunks.Op(f.ID)}}); err != nil {
		return fmt.Errorf("upload: forget chunks: %w", err)
	}
	return nil
}

func (u *Uploads) dropStaged(ctx context.Context, file int64) error {
	if u.stage == nil {
		return nil
	}
	unlock, err := u.locks.lock(ctx, file)
	if err != nil {
		return err
	}
	defer unlock()
	return u.stage.drop(file)
}

// dropSession removes what a file has besides its blob and its row, if it came in parts.
func (u *Uploads) dropSession(ctx context.Context, f *File) error {
	if f.SHA256 == "" {
		return nil
	}
	var id string
	err := u.Store.QueryRow(ctx, `SELECT multipart FROM upload_session WHERE file = ?`, f.ID).Scan(&id)
	if err != nil && !errors.Is(err, store.ErrNoRows) {
		return fmt.Errorf("upload: read session: %w", err)
	}
	if id != "" && u.multi != nil && f.Received.IsZero() {
		if err := u.multi.Abort(ctx, f.Blob(), id); err != nil {
			return fmt.Errorf("upload: abort file %d: %w", f.ID, err)
		}
	}
	return u.dropChunks(ctx, f)
}
