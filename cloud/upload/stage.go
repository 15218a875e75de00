package upload

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// stage keeps what comes by the relay on this node's disk until a part is whole: the blob store is asked once for a part, not for each patch. It is
// for a hub of one node; of several, another one would not see it.
//
// Of each file there is one log, named by its id, whose records follow one another in the file's bytes:
//
//	record = "hwS1", u32 length, u64 offset, u32 CRC-32C of the 16 bytes before it and of the data, data (docs/formats/upload.md)
//
// A record is on the disk before its bytes are acknowledged. After a crash a log is read up to the first record that is not whole. When a part has
// gone to the blob store its log is emptied.
type stage struct {
	dir  string
	sums bool // digests are made: who takes parts wants to know them

	loading sync.Mutex // one log is read at a time
	// mu guards the fields below.
	mu    sync.Mutex
	logs  map[int64]*staged // by file: those that were read
	open  int               // how many of them have an open file
	bytes int64             // of all of these logs
}

// staged is the log of one file. It belongs to who holds the file's lock, but for what stage.mu guards.
type staged struct {
	id   int64
	span             // of the file's bytes
	part hash.Hash   // SHA-256 of the span; nil when no digests are made
	sum  *runningSum // of the file up to span.to; nil when that is not known
	size int64       // of the log
	sure bool        // the span was seen beside what else is stored

	// Guarded by stage.mu.
	f    *os.File // nil while it is closed
	busy bool
	used time.Time
	seen span // span as others see it
}

const (
	stageMagic = "hwS1"
	stageHead  = 4 + 4 + 8 + 4
	// stageOpen is how many logs have an open file at a time, stageMost the bytes of all of them: beyond it each patch goes to the blob store.
	stageOpen = 256
	stageMost = 8 << 30
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// newStage is nil for no folder.
func newStage(dir string, sums bool) *stage {
	if dir == "" {
		return nil
	}
	return &stage{dir: dir, sums: sums, logs: map[int64]*staged{}}
}

func (s *stage) newLog(id int64) *staged {
	g := &staged{id: id}
	if s.sums {
		g.part = sha256.New()
	}
	return g
}

func (s *stage) path(id int64) string { return filepath.Join(s.dir, strconv.FormatInt(id, 10)) }

// at is what of a file is in its log.
func (s *stage) at(id int64) (span, error) {
	g, err := s.load(id)
	if g == nil || err != nil {
		return span{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return g.seen, nil
}

// load finds a log, or reads it from the disk; nil when there is none.
func (s *stage) load(id int64) (*staged, error) {
	known := func() *staged {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.logs[id]
	}
	if g := known(); g != nil {
		return g, nil
	}
	s.loading.Lock()
	defer s.loading.Unlock()
	if g := known(); g != nil {
		return g, nil
	}
	f, err := os.OpenFile(s.path(id), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // nothing is staged
	}
	if err != nil {
		return nil, fmt.Errorf("upload: staged bytes: %w", err)
	}
	g := s.newLog(id)
	if err := errors.Join(g.recover(f), f.Close()); err != nil {
		return nil, fmt.Errorf("upload: staged bytes of file %d: %w", id, err)
	}
	g.seen = g.span
	s.mu.Lock()
	defer s.mu.Unlock()
	s.logs[id] = g
	s.bytes += g.size
	return g, nil
}

// recover reads a log up to the first record that is not whole, and cuts the rest.
func (g *staged) recover(f *os.File) error {
	r := io.Reader(f)
	for {
		from, data, err := readRecord(r)
		if errors.Is(err, errTorn) || err == nil && g.size > 0 && from != g.to {
			return f.Truncate(g.size)
		}
		if err != nil {
			return err
		}
		if g.size == 0 {
			g.span = span{from, from}
		}
		if g.part != nil {
			g.part.Write(data)
		}
		g.to += int64(len(data))
		g.size += stageHead + int64(len(data))
	}
}

// errTorn is a record that is not whole, or none.
var errTorn = errors.New("upload: no whole record")

// readRecord reads one record of a log.
func readRecord(r io.Reader) (from int64, data []byte, err error) {
	var head [stageHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, torn(err)
	}
	n := binary.BigEndian.Uint32(head[4:])
	from = int64(binary.BigEndian.Uint64(head[8:]))
	if string(head[:4]) != stageMagic || n == 0 || n > recordMost || from < 0 {
		return 0, nil, errTorn
	}
	data = make([]byte, n)
	if _, err := io.ReadFull(r, data); err != nil {
		return 0, nil, torn(err)
	}
	if binary.BigEndian.Uint32(head[16:]) != recordSum(head[:16], data) {
		return 0, nil, errTorn
	}
	return from, data, nil
}

// recordMost is the longest data of a record: a patch.
const recordMost = 1 << 20

func recordSum(head, data []byte) uint32 {
	return crc32.Update(crc32.Checksum(head, castagnoli), castagnoli, data)
}

func torn(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errTorn
	}
	return err
}

// appendHead is the head of a record.
func appendHead(b []byte, from int64, data []byte) []byte {
	at := len(b)
	b = binary.BigEndian.AppendUint32(append(b, stageMagic...), uint32(len(data)))
	b = binary.BigEndian.AppendUint64(b, uint64(from))
	return binary.BigEndian.AppendUint32(b, recordSum(b[at:], data))
}

// take gives out the log of a file, which is made when there is none, until put. The caller holds the file's lock.
func (s *stage) take(id int64) (*staged, error) {
	g, err := s.load(id)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if g == nil {
		g = s.newLog(id)
		s.logs[id] = g
	}
	g.busy = true
	if g.f != nil {
		return g, nil
	}
	s.closeOldestLocked()
	if g.f, err = s.file(id); err != nil {
		g.busy = false
		return nil, fmt.Errorf("upload: staged bytes: %w", err)
	}
	s.open++
	return g, nil
}

// file opens the log of a file, or makes it so that it survives a loss of power.
func (s *stage) file(id int64) (*os.File, error) {
	f, err := os.OpenFile(s.path(id), os.O_RDWR, 0)
	if !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, err
	}
	if f, err = os.OpenFile(s.path(id), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, err
	}
	d, err := os.Open(s.dir)
	if err == nil {
		err = errors.Join(d.Sync(), d.Close())
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// put takes a log back.
func (s *stage) put(g *staged) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g.busy, g.used = false, time.Now()
}

// closeOldestLocked makes room for another open file.
func (s *stage) closeOldestLocked() {
	for s.open >= stageOpen {
		var oldest *staged
		for _, g := range s.logs {
			if g.f != nil && !g.busy && (oldest == nil || g.used.Before(oldest.used)) {
				oldest = g
			}
		}
		if oldest == nil {
			return // all are at work: some more are open for a while
		}
		s.closeLocked(oldest)
	}
}

func (s *stage) closeLocked(g *staged) {
	if g.f != nil {
		_ = g.f.Close() // what it holds is on the disk
		g.f = nil
		s.open--
	}
}

// close closes all files; what is in them stays.
func (s *stage) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.logs {
		s.closeLocked(g)
	}
}

// total is how many bytes are staged, as far as logs were read.
func (s *stage) total() float64 {
	if s == nil {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return float64(s.bytes)
}

// full tells that there is no room for more.
func (s *stage) full() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes >= stageMost
}

// add appends bytes to a log. They are on the disk when it returns; after an error nothing of them is there.
func (s *stage) add(g *staged, data []byte) error {
	head := appendHead(make([]byte, 0, stageHead), g.to, data)
	_, err := g.f.WriteAt(head, g.size)
	if err == nil {
		_, err = g.f.WriteAt(data, g.size+stageHead)
	}
	if err == nil {
		err = g.f.Sync()
	}
	if err != nil {
		return fmt.Errorf("upload: stage bytes: %w", errors.Join(err, g.f.Truncate(g.size)))
	}
	if g.part != nil {
		g.part.Write(data)
	}
	if g.sum != nil {
		g.sum.whole.Write(data)
	}
	s.moved(g, span{g.from, g.to + int64(len(data))}, g.size+stageHead+int64(len(data)))
	return nil
}

// empty has a log begin at an offset, with nothing in it.
func (s *stage) empty(g *staged, from int64, sum *runningSum) error {
	if s.sums {
		g.part, g.sum = sha256.New(), sum
	}
	err := g.f.Truncate(0)
	s.moved(g, span{from, from}, 0)
	if err != nil {
		return fmt.Errorf("upload: empty staged bytes: %w", err)
	}
	return nil
}

func (s *stage) moved(g *staged, to span, size int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.logs[g.id] == g {
		s.bytes += size - g.size
	}
	g.span, g.size, g.seen = to, size, to
}

// drop removes a log.
func (s *stage) drop(id int64) error {
	s.loading.Lock() // who reads it now would remember it
	defer s.loading.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.logs[id]; g != nil {
		s.closeLocked(g)
		s.bytes -= g.size
		delete(s.logs, id)
	}
	if err := os.Remove(s.path(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("upload: remove staged bytes: %w", err)
	}
	return nil
}

// old are the files whose logs were not written since a time.
func (s *stage) old(before time.Time) (ids []int64, err error) {
	list, err := os.ReadDir(s.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("upload: staged bytes: %w", err)
	}
	for _, e := range list {
		id, err := strconv.ParseInt(e.Name(), 10, 64)
		info, errInfo := e.Info()
		if err == nil && errInfo == nil && info.ModTime().Before(before) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// resum makes the digest of a log that was read from the disk.
func (g *staged) resum(s *session) error {
	if g.part == nil || g.sum != nil || g.size == 0 {
		return nil
	}
	sum := s.sumTo(g.from)
	if sum == nil {
		return nil
	}
	if _, err := io.Copy(sum.whole, g.reader()); err != nil {
		return fmt.Errorf("upload: read staged bytes: %w", err)
	}
	g.sum = sum
	return nil
}

// reader reads the bytes of a log without its records' heads.
func (g *staged) reader() io.Reader {
	return &stageReader{r: io.NewSectionReader(g.f, 0, g.size)}
}

type stageReader struct {
	r    io.Reader
	left int64
}

// Read is io.Reader's.
func (s *stageReader) Read(b []byte) (int, error) {
	if s.left == 0 {
		var head [stageHead]byte
		if _, err := io.ReadFull(s.r, head[:]); err != nil {
			return 0, err // io.EOF behind the last record
		}
		s.left = int64(binary.BigEndian.Uint32(head[4:]))
	}
	n, err := s.r.Read(b[:min(int64(len(b)), s.left)])
	s.left -= int64(n)
	if errors.Is(err, io.EOF) && s.left > 0 {
		err = io.ErrUnexpectedEOF
	} else if errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

// buffers hold patches while they come in.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}
