package segment

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// newSuffix is behind the name of a segment that is being written anew; Open removes one that a crash left.
const newSuffix = ".new"

// A segment is written anew when a siftShare-th of its records' data is to go, or anything and siftEvery have passed since it last was.
const (
	siftShare = 4
	siftEvery = 24 * time.Hour
)

// Sift takes out of sealed segments what edit leaves out. edit is called for a record more than once and returns what stays of its
// data, nil when nothing does; it may not keep the record. A segment is written anew beside the old one and takes its place whole, and only when that is
// worth it, at the latest at the first Sift after a day. One that is damaged is left as it is. It returns how many records went or changed.
// Beside Append, Scan and Run it may run once at a time.
func (l *Log) Sift(ctx context.Context, edit func(Record) []byte) (changed int, err error) {
	c, err := newCodec()
	if err != nil {
		return 0, err
	}
	l.mu.Lock()
	segments := slices.Clone(l.sealed)
	l.mu.Unlock()
	for _, s := range segments {
		n, err := l.siftOne(ctx, c, s, edit)
		changed += n
		if err != nil {
			return changed, fmt.Errorf("sift segment %s: %w", s.path, err)
		}
	}
	return changed, nil
}

// siftOne sifts one segment.
func (l *Log) siftOne(ctx context.Context, c *codec, s *sealed, edit func(Record) []byte) (changed int, err error) {
	f, err := os.Open(s.path)
	if gone(err) {
		return 0, nil // pruned meanwhile
	} else if err != nil {
		return 0, err
	}
	defer f.Close()
	if _, err := trailerOf(f); err != nil {
		return 0, nil //nolint:nilerr // not sealed on disk: the next Open does that
	}
	entries, damage := s.readIndex(f)
	if len(damage) > 0 {
		return 0, nil
	}
	goes, all := 0, 0
	err = l.records(ctx, f, entries, func(r Record) error {
		stays := edit(r)
		all += len(r.Data)
		if goes += len(r.Data) - len(stays); stays == nil || len(stays) != len(r.Data) {
			changed++
		}
		return nil
	})
	switch {
	case errors.Is(err, errSift):
		return 0, nil
	case err != nil:
		return 0, err
	case changed == 0 || goes*siftShare < all && time.Since(s.sifted) < siftEvery:
		return 0, nil
	}
	next, err := l.rewrite(ctx, c, s, f, entries, edit)
	if err == nil {
		err = l.replace(s, next)
	}
	if err != nil {
		return 0, errors.Join(err, removeIfThere(s.path+newSuffix))
	}
	return changed, nil
}

// errSift is a block that cannot be read.
var errSift = errors.New("segment: block is damaged")

// records calls f for all records of a segment.
func (l *Log) records(ctx context.Context, file *os.File, entries []entry, f func(Record) error) error {
	all := func(int64, []uint64) bool { return true }
	var list []Record
	for i := range entries {
		e := &entries[i]
		if err := ctx.Err(); err != nil {
			return err
		}
		stored := make([]byte, e.stored)
		_, err := file.ReadAt(stored, e.offset+blockHeader+int64(e.filter))
		var raw []byte
		if err == nil {
			raw, err = l.codec.unpack(&e.header, stored)
		}
		if err == nil {
			list, err = records(raw, e.count, list[:0], all)
		}
		if err != nil {
			return fmt.Errorf("%w: %w", errSift, err)
		}
		for _, r := range list {
			if err := f(r); err != nil {
				return err
			}
		}
	}
	return nil
}

// rewrite writes what stays of a segment beside it; nil when nothing does.
func (l *Log) rewrite(ctx context.Context, c *codec, s *sealed, from *os.File, entries []entry, edit func(Record) []byte) (next *sealed, err error) {
	out, err := os.OpenFile(s.path+newSuffix, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	head := make([]byte, fileHeader)
	if _, err := from.ReadAt(head, 0); err != nil {
		return nil, err
	}
	if _, err := out.WriteAt(head, 0); err != nil {
		return nil, err
	}
	a := &active{file: out, end: fileHeader, written: fileHeader}
	var b builder
	b.reset()
	var packed []byte
	flush := func() error {
		var h header
		packed, h = c.pack(packed[:0], &b)
		a.entries = append(a.entries, entry{offset: a.end, header: h, keys: slices.Clone(b.filter)})
		err := a.put(packed)
		a.end += h.size()
		b.reset()
		return err
	}
	err = l.records(ctx, from, entries, func(r Record) error {
		if data := edit(r); data != nil {
			b.add(r.Time.UnixMicro(), data, r.Keys)
		}
		if len(b.raw) < l.cfg.BlockBytes {
			return nil
		}
		return flush()
	})
	if err == nil && b.count > 0 {
		err = flush()
	}
	if err != nil || len(a.entries) == 0 {
		return nil, err
	}
	next, tail := seal(s.path, s.number, a.end, a.entries)
	next.sifted = time.Now()
	return next, errors.Join(a.put(tail), out.Sync())
}

// replace puts the new segment into the place of the old one, or removes that when there is none. Readers that have opened the old one go
// on with it.
func (l *Log) replace(old, next *sealed) error {
	l.mu.Lock() // the writer must not remove the old one meanwhile, the new one would come back
	defer l.mu.Unlock()
	i := slices.Index(l.sealed, old)
	switch {
	case i < 0:
		return removeIfThere(old.path + newSuffix)
	case next == nil:
		l.sealed = slices.Delete(slices.Clone(l.sealed), i, i+1)
		return errors.Join(removeIfThere(old.path), removeIfThere(old.path+newSuffix))
	}
	if err := os.Rename(old.path+newSuffix, old.path); err != nil {
		return err
	}
	l.sealed[i] = next
	return nil
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !gone(err) {
		return err
	}
	return nil
}

// trailerOf reads the trailer of a file.
func trailerOf(f *os.File) (*sealed, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if st.Size() < fileHeader+trailSize {
		return nil, errTorn
	}
	b := make([]byte, trailSize)
	if _, err := f.ReadAt(b, st.Size()-trailSize); err != nil {
		return nil, err
	}
	return parseTrailer(b, st.Size())
}

// in is the segment as the opened file has it, which Sift may have written anew since the list was looked at.
func (s *sealed) in(f *os.File) *sealed {
	now, err := trailerOf(f)
	if err != nil {
		return s // readIndex finds out what is the matter
	}
	now.path, now.number = s.path, s.number
	return now
}
