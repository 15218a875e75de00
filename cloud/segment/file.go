package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// format counts changes of the files that an older hub can't read.
// 1 (2026-11): as DESIGN.md draws it.
const format = 1

const (
	fileMagic  = "HAWSEG"
	fileHeader = 24
	trailMagic = "HEND"
	trailSize  = 52
	suffix     = ".seg"
)

// entry is one block of a segment.
type entry struct {
	offset int64
	header
	keys filter
}

// sealed is a segment that is written no more. Its index is read when it is asked.
type sealed struct {
	path     string
	number   uint64
	size     int64
	blocks   uint32
	records  uint64
	min, max int64
	index    int64     // where the index begins
	crc      uint32    // of the index
	sifted   time.Time // when this process wrote it anew
}

// active is the segment that is written. The entries are guarded by Log.mu, and only appended.
type active struct {
	path    string
	number  uint64
	file    *os.File
	created time.Time
	end     int64 // where the next block goes; what lies behind is the block that is being filled
	written int64 // how far the file goes
	entries []entry
}

func segmentPath(dir string, number uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%010d%s", number, suffix))
}

// numberOf is the number in a segment's file name.
func numberOf(name string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, suffix)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, err == nil
}

func appendFileHeader(b []byte, created time.Time) []byte {
	start := len(b)
	b = append(b, fileMagic...)
	b = binary.LittleEndian.AppendUint16(b, format)
	b = binary.LittleEndian.AppendUint64(b, uint64(created.UnixMicro()))
	b = append(b, 0, 0, 0, 0)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

func checkFileHeader(b []byte) error {
	switch {
	case len(b) < fileHeader:
		return errTorn
	case string(b[:6]) != fileMagic || crc32.Checksum(b[:20], castagnoli) != binary.LittleEndian.Uint32(b[20:]):
		return errHeader
	case binary.LittleEndian.Uint16(b[6:]) != format:
		return errVersion
	}
	return nil
}

// appendIndex writes the index: for each block its offset, header and filter.
func appendIndex(b []byte, entries []entry) []byte {
	for i := range entries {
		e := &entries[i]
		b = binary.LittleEndian.AppendUint64(b, uint64(e.offset))
		b = e.append(b, e.keys)
	}
	return b
}

// parseIndex reads an index. The entries point into b.
func parseIndex(b []byte, blocks uint32) ([]entry, error) {
	entries := make([]entry, 0, min(blocks, uint32(len(b)/(8+blockHeader))))
	for len(b) > 0 {
		if len(b) < 8+blockHeader {
			return nil, errLength
		}
		e := entry{offset: int64(binary.LittleEndian.Uint64(b))}
		var err error
		if e.header, err = parseHeader(b[8:]); err != nil {
			return nil, err
		}
		if uint64(len(b)) < 8+blockHeader+uint64(e.filter) {
			return nil, errLength
		}
		e.keys = filter(b[8+blockHeader:][:e.filter])
		if err := checkHeader(b[8:], e.keys); err != nil {
			return nil, err
		}
		entries = append(entries, e)
		b = b[8+blockHeader+int(e.filter):]
	}
	if uint32(len(entries)) != blocks {
		return nil, errLength
	}
	return entries, nil
}

// appendTrailer ends a sealed file.
func (s *sealed) appendTrailer(b []byte) []byte {
	start := len(b)
	b = append(b, trailMagic...)
	b = binary.LittleEndian.AppendUint32(b, s.blocks)
	b = binary.LittleEndian.AppendUint64(b, s.records)
	b = binary.LittleEndian.AppendUint64(b, uint64(s.min))
	b = binary.LittleEndian.AppendUint64(b, uint64(s.max))
	b = binary.LittleEndian.AppendUint64(b, uint64(s.index))
	b = append(b, 0, 0, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, s.crc)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

// parseTrailer reads the last bytes of a file of size bytes.
func parseTrailer(b []byte, size int64) (*sealed, error) {
	if len(b) != trailSize || string(b[:4]) != trailMagic || crc32.Checksum(b[:48], castagnoli) != binary.LittleEndian.Uint32(b[48:]) {
		return nil, errTorn
	}
	le := binary.LittleEndian
	s := &sealed{size: size, blocks: le.Uint32(b[4:]), records: le.Uint64(b[8:]), min: int64(le.Uint64(b[16:])),
		max: int64(le.Uint64(b[24:])), index: int64(le.Uint64(b[32:])), crc: le.Uint32(b[44:])}
	if s.index < fileHeader || s.index > size-trailSize {
		return nil, errLength
	}
	return s, nil
}

// seal makes the sealed segment of blocks that end at end, and the bytes that must be written there.
func seal(path string, number uint64, end int64, entries []entry) (*sealed, []byte) {
	s := &sealed{path: path, number: number, blocks: uint32(len(entries)), index: end, min: math.MaxInt64, max: math.MinInt64}
	for i := range entries {
		s.records += uint64(entries[i].count)
		s.min, s.max = min(s.min, entries[i].min), max(s.max, entries[i].max)
	}
	tail := appendIndex(nil, entries)
	s.crc = crc32.Checksum(tail, castagnoli)
	tail = s.appendTrailer(tail)
	s.size = end + int64(len(tail))
	return s, tail
}

// load opens all segments of the folder.
func (l *Log) load() error {
	names, err := os.ReadDir(l.cfg.Dir)
	if err != nil {
		return err
	}
	for _, d := range names { // in the order of their numbers: ReadDir sorts, and they have leading zeros
		if strings.HasSuffix(d.Name(), suffix+newSuffix) {
			if err := os.Remove(filepath.Join(l.cfg.Dir, d.Name())); err != nil {
				return err
			}
			continue
		}
		n, ok := numberOf(d.Name())
		if !ok || !d.Type().IsRegular() {
			continue
		}
		l.next = max(l.next, n+1)
		s, err := l.loadSegment(filepath.Join(l.cfg.Dir, d.Name()), n)
		if err != nil {
			return err
		}
		if s != nil {
			l.sealed = append(l.sealed, s)
		}
	}
	return nil
}

// loadSegment opens one segment, repairing it as need be; nil when nothing of it is left.
func (l *Log) loadSegment(path string, number uint64) (*sealed, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if s, err := trailerOf(f); err == nil {
		s.path, s.number = path, number
		return s, nil
	}
	return l.repair(f, path, number, st.Size())
}

// repair looks through a segment that was not sealed, cuts what is torn and seals it.
func (l *Log) repair(f *os.File, path string, number uint64, size int64) (*sealed, error) {
	entries, end, damage := walk(f, path, size)
	l.tell(damage)
	if err := firstVersion(damage); err != nil {
		return nil, fmt.Errorf("%s: %w: an older hub cannot read it", path, err)
	}
	if len(entries) == 0 {
		return nil, os.Remove(path)
	}
	s, tail := seal(path, number, end, entries)
	if err := f.Truncate(end); err != nil {
		return nil, err
	}
	if _, err := f.WriteAt(tail, end); err != nil {
		// Without room for its index the segment still serves: readers look through its blocks.
		l.log.Warn("segment not sealed", "path", path, "err", err)
	}
	return s, nil
}

func firstVersion(damage []*CorruptionError) error {
	for _, d := range damage {
		if errors.Is(d, errVersion) {
			return errVersion
		}
	}
	return nil
}

func (l *Log) tell(damage []*CorruptionError) {
	for _, d := range damage {
		l.corrupt.Add(1)
		l.log.Warn("damaged segment", "path", d.Path, "offset", d.Offset, "lost", d.Lost, "err", d.Err)
	}
	l.damage = append(l.damage, damage...)
}

// walk reads a segment block by block. A block whose header is whole and whose content is not is left out; where no
// header follows the rest is torn, unless it is the index of a file whose trailer is lost. end is where the whole blocks end.
func walk(r io.ReaderAt, path string, size int64) (entries []entry, end int64, damage []*CorruptionError) {
	bad := func(offset, lost int64, err error) {
		damage = append(damage, &CorruptionError{Path: path, Offset: offset, Lost: lost, Err: err})
	}
	head := make([]byte, fileHeader)
	n, _ := r.ReadAt(head, 0)
	if err := checkFileHeader(head[:n]); err != nil {
		bad(0, size, err)
		return nil, 0, damage
	}
	for end = fileHeader; end < size; {
		e, whole, err := readBlock(r, end, size)
		if err != nil && !whole {
			bad(end, size-end, err)
			return entries, end, damage
		}
		if err != nil {
			bad(end, e.size(), err)
		} else {
			entries = append(entries, e)
		}
		end += e.size()
	}
	return entries, end, damage
}

// readBlock reads and checks the block at offset. whole says that its header can be believed, so that the next block can
// be found even when this one is damaged.
func readBlock(r io.ReaderAt, offset, size int64) (e entry, whole bool, err error) {
	fixed := make([]byte, blockHeader)
	if n, err := r.ReadAt(fixed, offset); n < blockHeader {
		return e, false, torn(err)
	}
	e.offset = offset
	if e.header, err = parseHeader(fixed); err != nil {
		return e, false, err
	}
	if offset+e.size() > size {
		return e, false, errTorn
	}
	rest := make([]byte, int64(e.filter)+int64(e.stored))
	if _, err := r.ReadAt(rest, offset+blockHeader); err != nil {
		return e, false, torn(err)
	}
	e.keys = filter(rest[:e.filter:e.filter])
	if err := checkHeader(fixed, e.keys); err != nil {
		return e, false, err
	}
	if crc32.Checksum(rest[e.filter:], castagnoli) != e.crc {
		return e, true, errChecksum
	}
	e.keys = append(filter(nil), e.keys...) // not the whole block's memory
	return e, true, nil
}

func torn(err error) error {
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errTorn
	}
	return err
}

// readIndex returns the blocks of a sealed segment: from its index, or from the blocks themselves when that is damaged.
func (s *sealed) readIndex(f *os.File) ([]entry, []*CorruptionError) {
	b := make([]byte, s.size-trailSize-s.index)
	_, err := f.ReadAt(b, s.index)
	if err == nil && crc32.Checksum(b, castagnoli) != s.crc {
		err = errChecksum
	}
	var entries []entry
	if err == nil {
		entries, err = parseIndex(b, s.blocks)
	}
	if err == nil {
		return entries, nil
	}
	entries, _, damage := walk(f, s.path, s.index)
	return entries, append(damage, &CorruptionError{Path: s.path, Offset: s.index, Err: torn(err)})
}

// gone reports whether a segment was pruned before it could be opened.
func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) }
