package buffer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// legacyFormat is the newest format of the bbolt files that agents wrote before segments. Bucket records: u64 sequence number → u8 format 1, u8 QoS,
// u64 Unix ms, u16 length of the topic, topic, payload; bucket meta: "format" → u8.
const legacyFormat = 1

const legacyBatch = 256

// drainLegacy moves what an older agent's file holds into s, oldest first, and removes the file. A crash on the way has them moved once more: the hub gets them at least once.
// A file that can't be read is set aside: it must not keep the agent from its work.
func drainLegacy(path string, s *Stream) error {
	if path == "" {
		return nil
	}
	st, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	n, before := 0, s.next
	if err == nil && st.Size() > 0 {
		n, err = drainFile(path, s)
	}
	switch {
	case errors.Is(err, ErrInUse):
		return err
	case errors.Is(err, ErrUnavailable) || errors.Is(err, ErrFull):
		s.log.Warn("the older buffer's messages can't be moved now; the next start tries again", "path", path, "err", err)
		s.b.mu.Lock()
		s.settleLocked(before, s.next-1) // they come again
		s.b.mu.Unlock()
		return nil
	case errors.Is(err, ErrNewerFormat):
		return err
	case err != nil:
		s.log.Error("the older buffer's file is damaged and set aside", "path", path+".damaged", "moved", n, "err", err)
		return os.Rename(path, path+".damaged")
	}
	s.log.Info("the older buffer's messages were moved into the log", "path", path, "moved", n)
	return os.Remove(path)
}

func drainFile(path string, s *Stream) (n int, err error) {
	lock, err := lockDir(path) // as bbolt does
	if err != nil {
		return 0, err
	}
	defer lock.Close() // nothing was written
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	f, err := openBolt(b)
	if err != nil {
		return 0, err
	}
	format := -1
	if _, err := f.bucket("meta", func(k, v []byte) error {
		if string(k) == "format" && len(v) == 1 {
			format = int(v[0])
		}
		return nil
	}); err != nil {
		return 0, err
	}
	switch {
	case format < 0:
		return 0, fmt.Errorf("%w: no format", errDamaged)
	case format > legacyFormat:
		return 0, fmt.Errorf("%w: %d, this agent knows %d", ErrNewerFormat, format, legacyFormat)
	}
	return drainRecords(f, s)
}

func drainRecords(f *boltFile, s *Stream) (n int, err error) {
	var batch []entry
	var failed error
	flush := func() error {
		s.commit(batch)
		batch = batch[:0]
		return failed
	}
	done := func(err error) {
		if err == nil {
			n++
		} else if failed == nil {
			failed = err
		}
	}
	found, err := f.bucket("records", func(_, v []byte) error {
		r, err := decodeLegacy(v)
		if err != nil {
			s.log.Error("a message of the older buffer is damaged and skipped", "err", err)
			return nil
		}
		if batch = append(batch, entry{r, done}); len(batch) < legacyBatch {
			return nil
		}
		return flush()
	})
	if !found && err == nil {
		err = fmt.Errorf("%w: no records", errDamaged)
	}
	err = errors.Join(err, flush())
	return n, err
}

// decodeLegacy copies: v belongs to the database's transaction.
func decodeLegacy(v []byte) (Record, error) {
	const fixed = 12
	if len(v) < fixed || v[0] != 1 {
		return Record{}, fmt.Errorf("%w: %d bytes", errDamaged, len(v))
	}
	n := int(binary.BigEndian.Uint16(v[10:]))
	if v[1] > 1 || n == 0 || len(v) < fixed+n {
		return Record{}, fmt.Errorf("%w: QoS %d, topic of %d bytes in %d", errDamaged, v[1], n, len(v))
	}
	return Record{
		Time:  time.UnixMilli(int64(binary.BigEndian.Uint64(v[2:]))),
		Topic: string(v[fixed : fixed+n]), Payload: append([]byte{}, v[fixed+n:]...), QoS: v[1],
	}, nil
}
