package segment

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"os"
	"slices"
	"time"
)

// Query says which records Scan returns.
type Query struct {
	// Keys: a record must have all of them; none takes every record.
	Keys []uint64
	// From and To bound the time, From included and To not; zero is no bound.
	From, To time.Time
	// Backward returns the youngest first.
	Backward bool
}

// Scan calls fn for the records that q wants in the order of their times (those of one time in the order of their
// appends), or in exactly the reverse order, until fn returns false. It returns ctx's error, an error of the disk, or,
// after all that could be read, the *CorruptionErrors of what could not.
func (l *Log) Scan(ctx context.Context, q Query, fn func(Record) bool) error {
	s := scan{log: l, Query: q, from: minTime, to: maxTime}
	defer s.close()
	if !q.From.IsZero() {
		s.from = q.From.UnixMicro()
	}
	if !q.To.IsZero() {
		s.to = q.To.UnixMicro()
	}
	if err := s.plan(ctx); err != nil {
		return err
	}
	err := s.run(ctx, fn)
	for _, d := range s.damage {
		l.corrupt.Add(1)
		err = errors.Join(err, d)
	}
	return err
}

const (
	minTime = -1 << 63
	maxTime = 1<<63 - 1
)

// scan is one Scan under way. Blocks are read when the records before them have been given out; as a rule one is open at
// a time, and as many as overlap when records were appended out of order.
type scan struct {
	Query
	log      *Log
	from, to int64
	files    []*os.File
	waiting  []chunk // blocks not read yet, in the order in which their first records are due
	open     chunks  // blocks that were read, by their next record
	damage   []*CorruptionError
}

// chunk is a block, before and after it was read.
type chunk struct {
	order    int // in the log
	min, max int64
	file     *os.File
	path     string
	entry    entry
	raw      []byte // of the block in memory: needs no reading
	records  []Record
}

// plan finds the blocks that may hold wanted records.
func (s *scan) plan(ctx context.Context) error {
	segments, act, memory := s.snapshot()
	for _, seg := range segments {
		if err := ctx.Err(); err != nil {
			return err
		}
		if seg.max < s.from || seg.min >= s.to {
			continue
		}
		f, err := os.Open(seg.path)
		if gone(err) {
			continue // pruned meanwhile
		} else if err != nil {
			return err
		}
		s.files = append(s.files, f)
		entries, damage := seg.in(f).readIndex(f)
		s.damage = append(s.damage, damage...)
		s.pick(f, seg.path, entries)
	}
	if act != nil && len(act.entries) > 0 {
		f, err := os.Open(act.path)
		if err != nil && !gone(err) {
			return err
		} else if err == nil {
			s.files = append(s.files, f)
			s.pick(f, act.path, act.entries)
		}
	}
	if memory.entry.count > 0 && memory.max >= s.from && memory.min < s.to {
		memory.order = len(s.waiting)
		s.waiting = append(s.waiting, memory)
	}
	slices.SortStableFunc(s.waiting, func(a, b chunk) int {
		if s.Backward {
			return cmp.Or(cmp.Compare(b.max, a.max), cmp.Compare(b.order, a.order))
		}
		return cmp.Or(cmp.Compare(a.min, b.min), cmp.Compare(a.order, b.order))
	})
	return nil
}

// snapshot is the log as it is at this moment: nothing in it changes any more.
func (s *scan) snapshot() (segments []*sealed, act *active, memory chunk) {
	l := s.log
	l.mu.Lock()
	defer l.mu.Unlock()
	segments = slices.Clone(l.sealed)
	if l.active != nil {
		act = &active{path: l.active.path, entries: l.active.entries[:len(l.active.entries):len(l.active.entries)]}
	}
	b := &l.block
	memory = chunk{min: b.min, max: b.max, raw: slices.Clone(b.raw), entry: entry{header: header{count: b.count}}}
	return segments, act, memory
}

func (s *scan) pick(f *os.File, path string, entries []entry) {
	for i := range entries {
		e := &entries[i]
		if e.max < s.from || e.min >= s.to || !s.mayHold(e.keys) {
			continue
		}
		s.waiting = append(s.waiting, chunk{order: len(s.waiting), min: e.min, max: e.max, file: f, path: path, entry: *e})
	}
}

func (s *scan) mayHold(f filter) bool {
	for _, k := range s.Keys {
		if !f.has(k) {
			return false
		}
	}
	return true
}

// run gives the records out.
func (s *scan) run(ctx context.Context, fn func(Record) bool) error {
	s.open.backward = s.Backward
	for {
		for len(s.waiting) > 0 && s.due(&s.waiting[0]) {
			if err := ctx.Err(); err != nil {
				return err
			}
			c := s.waiting[0]
			s.waiting = s.waiting[1:]
			s.read(&c)
			if len(c.records) > 0 {
				heap.Push(&s.open, c)
			}
		}
		if len(s.open.list) == 0 {
			return nil
		}
		c := &s.open.list[0]
		r := c.records[0]
		c.records = c.records[1:]
		if len(c.records) == 0 {
			heap.Pop(&s.open)
		} else {
			heap.Fix(&s.open, 0)
		}
		if !fn(r) {
			return nil
		}
	}
}

// due reports whether c may hold a record that comes before all of the open blocks.
func (s *scan) due(c *chunk) bool {
	if len(s.open.list) == 0 {
		return true
	}
	next := s.open.list[0].records[0].Time.UnixMicro()
	if s.Backward {
		return c.max >= next
	}
	return c.min <= next
}

// read fills c's records, in the order in which they are due. What cannot be read is noted as damage.
func (s *scan) read(c *chunk) {
	raw := c.raw
	if c.file != nil {
		stored := make([]byte, c.entry.stored)
		_, err := c.file.ReadAt(stored, c.entry.offset+blockHeader+int64(c.entry.filter))
		if err == nil {
			raw, err = s.log.codec.unpack(&c.entry.header, stored)
		}
		if err != nil {
			s.bad(c, torn(err))
			return
		}
	}
	var err error
	if c.records, err = records(raw, c.entry.count, nil, s.wants); err != nil {
		s.bad(c, err)
	}
	slices.SortStableFunc(c.records, func(a, b Record) int { return a.Time.Compare(b.Time) })
	if s.Backward {
		slices.Reverse(c.records)
	}
}

func (s *scan) bad(c *chunk, err error) {
	s.damage = append(s.damage, &CorruptionError{Path: c.path, Offset: c.entry.offset, Lost: c.entry.size(), Err: err})
}

func (s *scan) wants(t int64, keys []uint64) bool {
	if t < s.from || t >= s.to {
		return false
	}
	for _, k := range s.Keys {
		if !slices.Contains(keys, k) {
			return false
		}
	}
	return true
}

func (s *scan) close() {
	for _, f := range s.files {
		f.Close()
	}
}

// chunks is a heap of open blocks by their next record.
type chunks struct {
	list     []chunk
	backward bool
}

func (c *chunks) Len() int      { return len(c.list) }
func (c *chunks) Swap(i, j int) { c.list[i], c.list[j] = c.list[j], c.list[i] }
func (c *chunks) Push(x any)    { c.list = append(c.list, x.(chunk)) }

func (c *chunks) Pop() any {
	last := c.list[len(c.list)-1]
	c.list = c.list[:len(c.list)-1]
	return last
}

func (c *chunks) Less(i, j int) bool {
	a, b := &c.list[i], &c.list[j]
	if c.backward {
		return cmp.Or(b.records[0].Time.Compare(a.records[0].Time), cmp.Compare(b.order, a.order)) < 0
	}
	return cmp.Or(a.records[0].Time.Compare(b.records[0].Time), cmp.Compare(a.order, b.order)) < 0
}
