package buffer

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Report is what Inspect finds of a stream on the disk.
type Report struct {
	Stream   string          `json:"stream"`
	Epoch    uint64          `json:"epoch"`
	Next     uint64          `json:"next"`    // the number after the last record
	Records  int64           `json:"records"` // that the hub does not have
	Bytes    int64           `json:"bytes"`   // theirs, topics and payloads
	Kept     int64           `json:"kept"`    // records that the hub has and the disk still too
	Disk     int64           `json:"disk"`    // bytes of the files
	Oldest   time.Time       `json:"oldest,omitzero"`
	Newest   time.Time       `json:"newest,omitzero"`
	Gaps     []Gap           `json:"gaps"` // losses that are not reported yet
	Segments []SegmentReport `json:"segments"`
	Problems []string        `json:"problems"` // what Open will have to repair; the end of the last segment is no problem
}

// SegmentReport is one file.
type SegmentReport struct {
	Name    string `json:"name"`
	Size    int64  `json:"size"`
	First   uint64 `json:"first"`
	Last    uint64 `json:"last"`
	Records int    `json:"records"`
	Waiting int    `json:"waiting"`
	Thinned int    `json:"thinned,omitempty"` // how often half of the records were given up
}

// Inspect reads a buffer's folder and changes nothing, whether an agent has it open or not: of what one writes meanwhile it may see a part. each, when
// it is not nil, gets every record that the hub does not have, stream by stream, oldest first.
func Inspect(dir string, each func(stream string, r Record) error) ([]Report, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	list := []Report{}
	for _, e := range entries {
		if !e.IsDir() || !ValidName(e.Name()) {
			continue
		}
		r, err := inspectStream(filepath.Join(dir, e.Name()), e.Name(), each)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, nil
}

// part is a segment that inspectStream has read.
type part struct {
	name string
	b    []byte
	sc   scanned
}

func inspectStream(dir, name string, each func(string, Record) error) (Report, error) {
	r := Report{Stream: name, Gaps: []Gap{}, Segments: []SegmentReport{}, Problems: []string{}}
	c, absent, err := readCursor(osDisk{}, filepath.Join(dir, cursorName))
	if err != nil {
		return r, err
	}
	if absent {
		r.Problems = append(r.Problems, "the cursor can't be read")
	}
	parts, err := readParts(dir, &c.epoch, absent)
	if err != nil {
		return r, err
	}
	r.Epoch, r.Next, r.Disk = c.epoch, c.next, 2*slotSize
	for _, g := range c.gaps {
		g.Stream = name
		r.Gaps = append(r.Gaps, g)
	}
	var all ranges
	for _, p := range parts {
		r.Disk += int64(len(p.b))
	}
	for _, p := range withoutReplaced(parts) {
		if p.sc.count > 0 && !p.sc.headerOK {
			r.Problems = append(r.Problems, p.name+": the header is damaged")
		}
		if x := p.extent(); x.level > 0 && x.base < p.first() {
			c.done.add(x.base, p.first()-1)
		}
		if err := r.segment(p, c.done, all, each); err != nil {
			return r, err
		}
		for _, s := range p.sc.found {
			all.add(s.from, s.to)
			r.Next = max(r.Next, s.to+1)
		}
	}
	if absent && len(all) > 0 {
		c.done.add(1, all[0].from-1)
	}
	for _, m := range c.done.missing(1, max(r.Next, 1)-1) {
		for _, h := range all.missing(m.from, m.to) {
			r.Problems = append(r.Problems, "records are missing: "+h.String())
		}
	}
	return r, nil
}

// readParts reads and scans the segments, oldest first. A stream without cursor has the epoch of its first segment.
func readParts(dir string, epoch *uint64, absent bool) (parts []*part, err error) {
	names, err := osDisk{}.Names(dir)
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		if !strings.HasSuffix(n, segmentSuffix) {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, n))
		if errors.Is(err, fs.ErrNotExist) {
			continue // used up meanwhile
		}
		if err != nil && len(b) == 0 {
			return nil, err
		}
		if h, err := parseHeader(b); absent && *epoch == 0 && err == nil {
			*epoch = h.epoch
		}
		sc, err := scan(b, *epoch)
		if err != nil {
			return nil, err
		}
		parts = append(parts, &part{n, b, sc})
	}
	slices.SortFunc(parts, func(a, b *part) int { // of pointers: another kind of element would be 15 KiB of program
		return cmp.Compare(a.first(), b.first())
	})
	return parts, nil
}

func (p *part) first() uint64 {
	if len(p.sc.found) == 0 {
		return 0
	}
	return p.sc.found[0].from
}

// extent is what the segment stands for.
func (p *part) extent() extent {
	h := p.sc.header
	if len(p.sc.found) == 0 {
		return extent{}
	}
	x := extent{p.first(), p.sc.found[len(p.sc.found)-1].to, h.level}
	if h.level > 0 {
		x.base = min(x.base, h.base)
	}
	return x
}

// withoutReplaced leaves out what others were made of by thinning.
func withoutReplaced(parts []*part) (left []*part) {
	for _, p := range parts {
		if !slices.ContainsFunc(parts, func(x *part) bool { return x.extent().replaces(p.extent()) }) {
			left = append(left, p)
		}
	}
	return left
}

// segment adds a segment's records to the report.
func (r *Report) segment(p *part, done, seen ranges, each func(string, Record) error) error {
	s := SegmentReport{Name: p.name, Size: int64(len(p.b)), Records: p.sc.count, Thinned: int(p.sc.header.level)}
	pos, last := segmentHeader, max(p.first(), 1)-1
	for range p.sc.count {
		v, ok := nextView(p.b, pos, r.Epoch, last)
		if !ok {
			break
		}
		pos, last = v.at+v.size, v.seq
		if s.First == 0 {
			s.First = v.seq
		}
		s.Last = v.seq
		if done.has(v.seq) || seen.has(v.seq) {
			r.Kept++
			continue
		}
		s.Waiting++
		r.Records++
		r.Bytes += int64(len(v.body) - 2)
		rec := v.record(p.sc.header.created)
		if r.Oldest.IsZero() {
			r.Oldest = rec.Time
		}
		r.Newest = rec.Time
		if each != nil {
			if err := each(r.Stream, rec); err != nil {
				return err
			}
		}
	}
	r.Segments = append(r.Segments, s)
	return nil
}
