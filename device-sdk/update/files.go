package update

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
)

// ErrDamaged is returned by Files.Load for a record that was there and cannot be read.
var ErrDamaged = errors.New("update: the record is damaged")

// RecordFile is one of the two files of a record. It need not end where the record ends.
type RecordFile interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Sync() error
}

// Files is a Store of two files for each record, which are written in turn: when the power is cut in the middle of one, the other has the
// record before. docs/formats/device-update.md draws them.
type Files struct {
	open func(name string) (RecordFile, error)
}

var _ Store = (*Files)(nil)

// OpenFiles returns a Store in a folder, which it makes if need be.
func OpenFiles(dir string) (*Files, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("update: store: %w", err)
	}
	return NewFiles(func(name string) (RecordFile, error) {
		path := filepath.Join(dir, name)
		_, missing := os.Stat(path)
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err == nil && missing != nil {
			if err = syncDir(dir); err != nil {
				return nil, errors.Join(err, f.Close())
			}
		}
		return f, err
	}), nil
}

// NewFiles returns a Store of files that open opens, and makes if need be: for partitions and tests. A name is that of the record with .0 or .1 behind.
func NewFiles(open func(name string) (RecordFile, error)) *Files { return &Files{open} }

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// A file is magic, generation (u64), length (u32), CRC32C (u32) of what is before and behind it, and the record.
const (
	fileMagic  = "HAWSREC\x01"
	fileHeader = len(fileMagic) + 8 + 4 + 4
	maxRecord  = 256 << 10
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func fileSum(head, record []byte) uint32 {
	return crc32.Update(crc32.Checksum(head[:fileHeader-4], castagnoli), castagnoli, record)
}

// copyOf is what one of the two files holds.
type copyOf struct {
	generation uint64 // 0 if it is not valid
	record     []byte
	written    bool // there is something, valid or not
}

// Load returns the newer of the two that is whole.
func (s *Files) Load(name string) ([]byte, error) {
	copies, err := s.read(name)
	if err != nil {
		return nil, err
	}
	best := copies[newer(copies)]
	// One file that is not whole is the first record, cut off; two are none of our doing.
	if best.generation == 0 && copies[0].written && copies[1].written {
		return nil, fmt.Errorf("%s: %w", name, ErrDamaged)
	}
	return best.record, nil
}

// Save writes the older of the two.
func (s *Files) Save(name string, record []byte) error {
	if len(record) > maxRecord {
		return fmt.Errorf("update: save %s: %d bytes, at most %d", name, len(record), maxRecord)
	}
	copies, err := s.read(name)
	if err != nil {
		return err
	}
	last := newer(copies)
	b := append([]byte(fileMagic), make([]byte, fileHeader-len(fileMagic), fileHeader-len(fileMagic)+len(record))...)
	binary.BigEndian.PutUint64(b[8:], copies[last].generation+1)
	binary.BigEndian.PutUint32(b[16:], uint32(len(record)))
	binary.BigEndian.PutUint32(b[20:], fileSum(b, record))
	f, err := s.open(fileName(name, 1-last))
	if err != nil {
		return fmt.Errorf("update: save %s: %w", name, err)
	}
	_, err = f.WriteAt(append(b, record...), 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("update: save %s: %w", name, err)
	}
	return nil
}

func fileName(record string, i int) string { return fmt.Sprintf("%s.%d", record, i) }

// newer is which of the copies was written last.
func newer(c [2]copyOf) int {
	if c[1].generation > c[0].generation {
		return 1
	}
	return 0
}

func (s *Files) read(name string) (copies [2]copyOf, err error) {
	for i := range copies {
		if copies[i], err = s.readFile(fileName(name, i)); err != nil {
			return copies, err
		}
	}
	return copies, nil
}

func (s *Files) readFile(name string) (copyOf, error) {
	f, err := s.open(name)
	if err != nil {
		return copyOf{}, fmt.Errorf("update: load: %w", err)
	}
	defer f.Close()
	head := make([]byte, fileHeader)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return copyOf{}, fmt.Errorf("update: load: %w", err)
	}
	c := copyOf{written: string(head[:n]) != string(make([]byte, n))}
	length := binary.BigEndian.Uint32(head[16:])
	if n < fileHeader || string(head[:len(fileMagic)]) != fileMagic || length > maxRecord {
		return c, nil
	}
	record := make([]byte, length)
	if n, err := f.ReadAt(record, int64(fileHeader)); n < len(record) {
		if err != nil && !errors.Is(err, io.EOF) {
			return c, fmt.Errorf("update: load: %w", err)
		}
		return c, nil
	}
	if fileSum(head, record) == binary.BigEndian.Uint32(head[20:]) {
		c.generation, c.record = binary.BigEndian.Uint64(head[8:]), record
	}
	return c, nil
}
