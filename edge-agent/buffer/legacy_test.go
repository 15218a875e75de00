package buffer

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

// legacyFile writes the file of an agent before segments.
func legacyFile(t *testing.T, path string, format byte, payloads ...string) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	must(t, err)
	must(t, db.Update(func(tx *bbolt.Tx) error {
		meta, err := tx.CreateBucket([]byte("meta"))
		must(t, err)
		must(t, meta.Put([]byte("format"), []byte{format}))
		records, err := tx.CreateBucket([]byte("records"))
		must(t, err)
		for i, p := range payloads {
			v := binary.BigEndian.AppendUint64([]byte{1, 1}, 1700000000123)
			v = append(binary.BigEndian.AppendUint16(v, 6), "/p/d/x"...)
			must(t, records.Put(binary.BigEndian.AppendUint64(nil, uint64(i+10)), append(v, p...)))
		}
		return records.Put(binary.BigEndian.AppendUint64(nil, 1000), []byte("no record"))
	}))
	must(t, db.Close())
}

func TestOlderAgentsFileIsMoved(t *testing.T) {
	cfg := config(t)
	cfg.Legacy = filepath.Join(t.TempDir(), "uplink.db")
	var want []string
	for i := range 600 {
		want = append(want, strings.Repeat("x", i))
	}
	legacyFile(t, cfg.Legacy, 1, want...)
	s, stop := open(t, cfg)
	got := payloads(t, s)
	if len(got) != len(want) || strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("%d messages were moved, want %d", len(got), len(want))
	}
	recs, _ := s.Read(0, 1)
	if r := recs[0]; r.Topic != "/p/d/x" || r.QoS != 1 || !r.Time.Equal(time.UnixMilli(1700000000123)) {
		t.Errorf("moved as %+v", r)
	}
	if _, err := os.Stat(cfg.Legacy); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is still there: %v", err)
	}
	stop()
	s, _ = open(t, cfg)
	if n := len(payloads(t, s)); n != len(want) {
		t.Errorf("%d messages after a restart", n)
	}
}

func TestOlderAgentsFileIsBad(t *testing.T) {
	for name, tt := range map[string]struct {
		make func(path string)
		err  error
		left string
	}{
		"newer":     {func(p string) { legacyFile(t, p, 9, "x") }, ErrNewerFormat, ""},
		"nonsense":  {func(p string) { must(t, os.WriteFile(p, []byte(strings.Repeat("nonsense", 4096)), 0o600)) }, nil, ".damaged"},
		"truncated": {func(p string) { legacyFile(t, p, 1, strings.Repeat("x", 9000)); must(t, os.Truncate(p, 8192+100)) }, nil, ".damaged"},
		"empty":     {func(p string) { must(t, os.WriteFile(p, nil, 0o600)) }, nil, "-"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config(t)
			cfg.Legacy = filepath.Join(t.TempDir(), "uplink.db")
			tt.make(cfg.Legacy)
			b, err := Open(cfg, quiet())
			if !errors.Is(err, tt.err) {
				t.Fatalf("Open = %v, want %v", err, tt.err)
			}
			if err == nil {
				must(t, b.Close())
			}
			if _, err := os.Stat(cfg.Legacy + tt.left); err != nil && tt.left != "-" {
				t.Error(err)
			}
		})
	}
}

func TestOlderAgentIsRunning(t *testing.T) {
	cfg := config(t)
	cfg.Legacy = filepath.Join(t.TempDir(), "uplink.db")
	legacyFile(t, cfg.Legacy, 1, "x")
	db, err := bbolt.Open(cfg.Legacy, 0o600, nil)
	must(t, err)
	if _, err := Open(cfg, quiet()); !errors.Is(err, ErrInUse) {
		t.Errorf("Open = %v, want ErrInUse", err)
	}
	must(t, db.Close())
	s, _ := open(t, cfg)
	if got := payloads(t, s); len(got) != 1 {
		t.Errorf("moved %v", got)
	}
}

// TestOlderAgentsFileAfterUse: a file that has been written in many transactions, with pages of branches, and damaged anywhere.
func TestOlderAgentsFileAfterUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "uplink.db")
	legacyFile(t, path, 1)
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoFreelistSync: true, FreelistType: bbolt.FreelistMapType, NoSync: true})
	must(t, err)
	const n = 3000
	for i := range n / 50 {
		must(t, db.Update(func(tx *bbolt.Tx) error {
			b := tx.Bucket([]byte("records"))
			b.FillPercent = 1
			for k := range 50 {
				v := binary.BigEndian.AppendUint64([]byte{1, 0}, 1)
				v = append(binary.BigEndian.AppendUint16(v, 2), "/p"...)
				must(t, b.Put(binary.BigEndian.AppendUint64(nil, uint64(2000+i*50+k)), append(v, strings.Repeat("y", 150)...)))
			}
			if i > 0 {
				return b.Delete(binary.BigEndian.AppendUint64(nil, uint64(2000+i)))
			}
			return nil
		}))
	}
	must(t, db.Close())
	good, err := os.ReadFile(path)
	must(t, err)
	for round := range 60 {
		b, cfg := append([]byte{}, good...), memConfig()
		if round > 0 {
			rng := rand.New(rand.NewPCG(uint64(round), 6))
			for range 1 + rng.IntN(200) {
				b[rng.IntN(len(b))] ^= byte(1 << rng.IntN(8))
			}
			b = b[:len(b)-rng.IntN(2)*rng.IntN(len(b))]
		}
		must(t, os.WriteFile(path, b, 0o600))
		cfg.MaxBytes, cfg.SegmentBytes = 4<<20, 64<<10
		s := on(t, newMemDisk(), cfg, time.Now).streams[0]
		err := drainLegacy(path, s)
		if round > 0 {
			if err != nil && !errors.Is(err, ErrNewerFormat) {
				t.Fatalf("round %d: %v", round, err)
			}
			continue
		}
		must(t, err)
		if got := s.Stats().Records; got != n-n/50+1 {
			t.Errorf("%d messages were moved, want %d", got, n-n/50+1)
		}
	}
}

func FuzzOlderFile(f *testing.F) {
	path := filepath.Join(f.TempDir(), "b")
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{PageSize: 1024})
	if err != nil {
		f.Fatal(err)
	}
	err = errors.Join(db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte("records"))
		return errors.Join(err, b.Put([]byte("k"), []byte("v")))
	}), db.Close())
	b, rerr := os.ReadFile(path)
	if err != nil || rerr != nil {
		f.Fatal(err, rerr)
	}
	f.Add(b[:5000])
	f.Fuzz(func(t *testing.T, b []byte) {
		if db, err := openBolt(b); err == nil {
			_, _ = db.bucket("records", func(k, v []byte) error { return nil })
		}
	})
}
