package segment_test

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/hawser-iot/hawser/cloud/segment"
)

// crashed makes a folder with one segment that was not sealed, and returns its path, as a hub that was killed leaves it:
// with 120 records in several blocks.
func crashed(t testing.TB) string {
	t.Helper()
	cfg := keepAll(t.TempDir())
	cfg.SegmentBytes = 1 << 20
	r := run(t, cfg)
	r.fill(0, 120)
	r.stop()
	path := filepath.Join(cfg.Dir, "0000000001.seg")
	b := read(t, path)
	// A sealed file without its index is what a crash leaves.
	index := int(b[len(b)-20]) | int(b[len(b)-19])<<8 | int(b[len(b)-18])<<16
	write(t, path, b[:index])
	return path
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// blocks returns where each block of an unsealed file begins.
func blocks(b []byte) (at []int) {
	for i := 24; i < len(b); {
		at = append(at, i)
		le := func(o int) int { return int(b[i+o]) | int(b[i+o+1])<<8 | int(b[i+o+2])<<16 }
		i += 44 + le(4) + le(32)
	}
	return at
}

func TestDamageIsCutAndTold(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(b []byte, at []int) []byte
		lost   func(at []int) int // blocks that are lost from the end; -1: only the one in the middle
		told   int
	}{
		{"whole", func(b []byte, _ []int) []byte { return b }, nil, 0},
		{"torn in the last block", func(b []byte, _ []int) []byte { return b[:len(b)-5] }, last(1), 1},
		{"torn in the last header", func(b []byte, at []int) []byte { return b[:at[len(at)-1]+10] }, last(1), 1},
		{"torn filter", func(b []byte, at []int) []byte { return b[:at[len(at)-1]+46] }, last(1), 1},
		{"zeros behind", func(b []byte, _ []int) []byte { return append(b, make([]byte, 100)...) }, last(0), 1},
		{"rubbish behind", func(b []byte, _ []int) []byte { return append(b, "HBLKrubbish"...) }, last(0), 1},
		{"last block zeroed", func(b []byte, at []int) []byte { clear(b[at[len(at)-1]:]); return b }, last(1), 1},
		{"bad checksum of the last block", func(b []byte, _ []int) []byte { b[len(b)-1] ^= 1; return b }, last(1), 1},
		{"bad checksum of a middle block", func(b []byte, at []int) []byte { b[at[2]-1] ^= 0x80; return b }, nil, 1},
		{"bad magic in the middle", func(b []byte, at []int) []byte { b[at[2]] = 'x'; return b }, from(2), 1},
		{"bad length in the middle", func(b []byte, at []int) []byte { b[at[2]+4] ^= 0xff; return b }, from(2), 1},
		{"huge length", func(b []byte, at []int) []byte { b[at[2]+7] = 0xff; return b }, from(2), 1},
		{"huge filter", func(b []byte, at []int) []byte { b[at[2]+35] = 0xff; return b }, from(2), 1},
		{"bad count", func(b []byte, at []int) []byte { b[at[2]+12]++; return b }, from(2), 1},
		{"bad filter", func(b []byte, at []int) []byte { b[at[2]+44] ^= 1; return b }, from(2), 1},
		{"bad file header", func(b []byte, _ []int) []byte { b[9] ^= 1; return b }, from(0), 1},
		{"header only", func(b []byte, _ []int) []byte { return b[:24] }, from(0), 0},
		{"empty", func([]byte, []int) []byte { return nil }, from(0), 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := crashed(t)
			b := read(t, path)
			at := blocks(b)
			if len(at) < 5 {
				t.Fatalf("only %d blocks", len(at))
			}
			write(t, path, c.damage(slices.Clone(b), at))
			l, err := segment.Open(keepAll(filepath.Dir(path)), slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			if d := l.Damage(); len(d) != c.told || len(d) > 0 && (d[0].Path != path || d[0].Error() == "") {
				t.Errorf("got damage %v, want %d", d, c.told)
			}
			got, err := numbers(t, l, segment.Query{})
			if err != nil {
				t.Errorf("scan after the repair: %v", err)
			}
			checkSurvivors(t, got, c.lost, b, at)
			again, err := segment.Open(keepAll(filepath.Dir(path)), slog.New(slog.DiscardHandler))
			if err != nil || len(again.Damage()) != 0 {
				t.Errorf("opened again: %v, damage %v, want none", err, again.Damage())
			}
			if second, _ := numbers(t, again, segment.Query{}); !slices.Equal(got, second) {
				t.Errorf("opened again: got %d records, want %d", len(second), len(got))
			}
		})
	}
}

func last(n int) func([]int) int { return func([]int) int { return n } }
func from(n int) func([]int) int { return func(at []int) int { return len(at) - n } }

// checkSurvivors holds got against the number of records that the whole blocks say they have.
func checkSurvivors(t *testing.T, got []int, lost func([]int) int, b []byte, at []int) {
	t.Helper()
	count := func(i int) int { return int(b[at[i]+12]) | int(b[at[i]+13])<<8 }
	if lost == nil { // all, or all but block 1
		if len(got) == 120 {
			return
		}
		want := append(sequence(0, count(0), 1), sequence(count(0)+count(1), 120, 1)...)
		if !slices.Equal(got, want) {
			t.Errorf("got %v, want all but block 1", got)
		}
		return
	}
	n := 0
	for i := range len(at) - lost(at) {
		n += count(i)
	}
	if !slices.Equal(got, sequence(0, n, 1)) {
		t.Errorf("got %d records, want the first %d", len(got), n)
	}
}

// What goes bad in a sealed segment is left out and told by the scan, and the rest is there.
func TestDamageInASealedSegment(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(b []byte)
		whole  bool
	}{
		{"block", func(b []byte) { b[24+44+200] ^= 1 }, false},
		{"index", func(b []byte) { b[len(b)-52-10] ^= 1 }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := keepAll(t.TempDir())
			r := run(t, cfg)
			r.fill(0, 120)
			r.stop()
			path := filepath.Join(cfg.Dir, "0000000001.seg")
			b := read(t, path)
			c.damage(b)
			write(t, path, b)
			l, err := segment.Open(cfg, slog.New(slog.DiscardHandler))
			if err != nil || len(l.Damage()) != 0 {
				t.Fatalf("open: %v, %v", err, l.Damage())
			}
			got, err := numbers(t, l, segment.Query{})
			var damage *segment.CorruptionError
			if !errors.As(err, &damage) || damage.Path != path {
				t.Errorf("got %v, want a CorruptionError of %s", err, path)
			}
			if c.whole != (len(got) == 120) || len(got) < 60 || l.Stats().Corrupt != 1 {
				t.Errorf("got %d records and %+v", len(got), l.Stats())
			}
		})
	}
}

func TestUnknownVersionIsRefused(t *testing.T) {
	path := crashed(t)
	b := read(t, path)
	copy(b, versionTwo)
	write(t, path, b)
	if _, err := segment.Open(keepAll(filepath.Dir(path)), slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a newer format was opened")
	}
	if after := read(t, path); !slices.Equal(after, b) {
		t.Error("a newer format was changed")
	}
}

// versionTwo is the head of a file of format 2, with its checksum.
var versionTwo = segment.HeadOfFormat(2)
