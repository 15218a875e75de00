package upload

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/hawser-iot/hawser/cloud/blob"
	"github.com/hawser-iot/hawser/cloud/store"
)

// span is the bytes from one offset to before another.
type span struct{ from, to int64 }

// stock is what is stored of a session's file: parts at the blob store, and chunks, blobs of the hub's own.
type stock struct {
	parts  []blob.Part
	chunks []span
	staged span // on this node's disk, to become a part
	whole  bool // the blob is there already
}

// stocked asks the store, and the blob store, what there is. Nothing else is the truth of it.
func (u *Uploads) stocked(ctx context.Context, s *session) (st *stock, err error) {
	st = &stock{}
	if s.done {
		st.whole = true
		return st, nil
	}
	if st.chunks, err = u.chunks(ctx, s.ID); err != nil {
		return nil, err
	}
	if u.stage != nil {
		if st.staged, err = u.stage.at(s.ID); err != nil {
			return nil, err
		}
	}
	if s.multipart == "" || u.multi == nil {
		return st, nil
	}
	st.parts, err = u.multi.Parts(ctx, s.Blob(), s.multipart)
	if errors.Is(err, blob.ErrNotFound) { // it was assembled, before a crash
		info, err := u.Blobs.Stat(ctx, s.Blob())
		if err != nil && !errors.Is(err, blob.ErrNotFound) {
			return nil, fmt.Errorf("upload: look for file %d: %w", s.ID, err)
		}
		if st.whole = err == nil && info.Size == s.Size; st.whole {
			return st, nil
		}
		return st, u.forgetMultipart(ctx, s)
	}
	if err != nil {
		return nil, fmt.Errorf("upload: parts of file %d: %w", s.ID, err)
	}
	st.parts = slices.DeleteFunc(st.parts, func(p blob.Part) bool { // one that is not of this file's measure is put again
		return p.No < 1 || p.No > s.parts() || p.Size != s.part(p.No).to-s.part(p.No).from
	})
	return st, nil
}

// forgetMultipart begins a file anew whose attempt the object store has cleared up: else its parts would go nowhere for ever.
func (u *Uploads) forgetMultipart(ctx context.Context, s *session) error {
	err := u.Store.Do(ctx, &store.Unit{Device: s.Device, Ops: []store.Op{dropMultipart.Guard(s.ID, s.multipart)}})
	if err != nil && !errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("upload: forget attempt: %w", err)
	}
	u.Log.Warn("the object store has removed what was stored of an upload", "file", s.ID, "device", s.Device)
	s.multipart, s.sum, s.sumAt = "", "", 0
	return nil
}

func (u *Uploads) chunks(ctx context.Context, file int64) (list []span, err error) {
	rows, err := u.Store.Query(ctx, `SELECT start, size FROM upload_chunk WHERE file = ? ORDER BY start`, file)
	if err != nil {
		return nil, fmt.Errorf("upload: list chunks: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		var from, size int64
		if err := rows.Scan(&from, &size); err != nil {
			return nil, fmt.Errorf("upload: list chunks: %w", err)
		}
		list = append(list, span{from, from + size})
	}
	return list, nil
}

// covered is what is stored, in order and without touching neighbours.
func (st *stock) covered(s *session) (list []span) {
	if st.whole {
		return []span{{0, s.Size}}
	}
	all := slices.Clone(st.chunks)
	if st.staged.to > st.staged.from {
		all = append(all, st.staged)
	}
	for _, p := range st.parts {
		all = append(all, s.part(p.No))
	}
	slices.SortFunc(all, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	for _, c := range all {
		if n := len(list); n > 0 && c.from <= list[n-1].to {
			list[n-1].to = max(list[n-1].to, c.to)
			continue
		}
		list = append(list, c)
	}
	return list
}

// offset is up to where there is no gap.
func offset(covered []span) int64 {
	if len(covered) == 0 || covered[0].from != 0 {
		return 0
	}
	return covered[0].to
}

// runs are the parts that are covered, as first and last of each run.
func runs(s *session, covered []span) (list [][2]int) {
	i := 0
	for no := 1; no <= s.parts(); no++ {
		p := s.part(no)
		for i < len(covered) && covered[i].to <= p.from {
			i++
		}
		if i == len(covered) || covered[i].from > p.from || covered[i].to < p.to {
			continue
		}
		if n := len(list); n > 0 && list[n-1][1] == no-1 {
			list[n-1][1] = no
			continue
		}
		list = append(list, [2]int{no, no})
	}
	return list
}

// chunkBlob is the name of a chunk in the blob store.
func (s *session) chunkBlob(from int64) string {
	return fmt.Sprintf("device-upload/%s/%d/%d", s.Product, s.ID, from)
}

// errHole is a gap where bytes are needed.
var errHole = errors.New("upload: bytes are missing")

// pieces reads a span out of chunks, which may overlap. Close closes the one in hand.
type pieces struct {
	ctx    context.Context //nolint:containedctx // a reader of one call
	blobs  blob.Store
	s      *session
	chunks []span // by where they begin
	at, to int64
	now    io.ReadCloser // nil between two
	left   int64
}

// Read is io.Reader's.
func (p *pieces) Read(b []byte) (int, error) {
	if p.at == p.to {
		if err := p.Close(); err != nil {
			return 0, err
		}
		return 0, io.EOF
	}
	if p.now == nil {
		if err := p.next(); err != nil {
			return 0, err
		}
	}
	n, err := p.now.Read(b[:min(int64(len(b)), p.left)])
	p.at, p.left = p.at+int64(n), p.left-int64(n)
	switch {
	case p.left == 0:
		err = p.Close()
	case errors.Is(err, io.EOF):
		err = fmt.Errorf("%w: a chunk of file %d ends at %d", errHole, p.s.ID, p.at)
	}
	return n, err
}

// next opens the chunk that reaches the farthest from where we are.
func (p *pieces) next() (err error) {
	best := span{to: p.at}
	for _, c := range p.chunks {
		if c.from > p.at {
			break
		}
		if c.to > best.to {
			best = c
		}
	}
	if best.to == p.at {
		return fmt.Errorf("%w: file %d at %d", errHole, p.s.ID, p.at)
	}
	p.left = min(best.to, p.to) - p.at
	p.now, _, err = p.blobs.Get(p.ctx, p.s.chunkBlob(best.from), p.at-best.from, p.left)
	return err
}

// Close is io.Closer's.
func (p *pieces) Close() error {
	if p.now == nil {
		return nil
	}
	err := p.now.Close()
	p.now = nil
	return err
}

func (u *Uploads) pieces(ctx context.Context, s *session, st *stock, part span) *pieces {
	return &pieces{ctx: ctx, blobs: u.Blobs, s: s, chunks: st.chunks, at: part.from, to: part.to}
}
