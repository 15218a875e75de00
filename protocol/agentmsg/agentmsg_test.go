package agentmsg

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/hawser-iot/hawser/protocol/codec"
)

var update = flag.Bool("update", false, "write the vectors of good messages anew")

var place = Place{"messages", EpochOf(0x0123456789abcdef)}

// data are the records of the vectors.
func data() []byte {
	var w Writer
	for _, r := range records {
		w.Add(&r)
	}
	return w.Data()
}

var records = []Record{
	{41, 1795737600000, 1, "/prod/dev/upload", []byte(`{"n":1}`)},
	{42, 1795737600010, 0, "/prod/dev/upload", []byte(`{"n":2}`)},
	{45, 1795737599000, 1, "/prod/other/upload", nil},
	{400, 1795737600011, 1, "/prod/dev/upload", []byte{0, 255}},
}

var samples = map[string]Message{
	"hello": &Hello{Ask: true, Agent: "1.2.0", Platform: "linux/arm64", Caps: []string{"batch", "slow"},
		Streams: []Stream{{Place: place, Next: 401, Records: 12, Bytes: 3456, Lost: 7, Settled: Set{{1, 9}, {20, 20}}}}},
	"hello_news": &Hello{Agent: "1.2.0"},
	"hello_about": &Hello{Agent: "1.2.0", Variant: "gateway", Caps: []string{"config", "bundle"}, Gaps: 2, Uploads: &Uploads{Waiting: 3, Sending: true, Sent: 10, Failed: 1},
		Config: &ConfigState{Version: "product/2", Offered: "device/3", Counter: 1795737600, State: ConfigBack, Reason: "taken_back", Detail: "the agent was not healthy within 2m0s"}},
	"hello_routes":    &Hello{Agent: "1.3.0", Variant: "gateway", Routes: []Route{{Name: "hot", Matched: 12, Failed: 1, Sent: 20, Waiting: 2, Dropped: 3}, {Name: "fire"}}},
	"config":          &Config{Bytes: []byte{0xd2, 0x84}},
	"config_state":    &State{ConfigState: ConfigState{Version: "device/3", Offered: "device/3", Counter: 1795737600, State: ConfigApplied}},
	"diagnose_bundle": &Diagnose{ID: "8", Bundle: true},
	"bundle":          &Diagnosis{ID: "8", State: BundleDone, File: "123456", Size: 20480},
	"batch":           &Batch{Place: place, First: 41, Count: 4, Replayed: true, Data: data()},
	"gap":             &Gap{Gaps: []Loss{{Place: place, From: 10, To: 19, Reason: "quota", Bytes: 1000}, {Place: place, From: 30, To: 40, Reason: "mixed", Settled: Set{{30, 31}, {40, 40}}}}},
	"ranges":          &Ranges{Hub: "1.3.0", Caps: []string{"batch"}, Streams: []StreamRanges{{place, Set{{1, 400}}}}, MaxBytes: 262144, RetryWindow: 100},
	"refused":         &Refused{Place: place, Numbers: Set{{45, 45}}, Reason: "permission"},
	"slow":            &Slow{Rate: 50, ForMs: 5000},
	"retry":           &Retry{Window: 100},
	"diagnose":        &Diagnose{ID: "7"},
	"diagnosis":       &Diagnosis{ID: "7", Values: map[string]any{"goroutines": int64(12)}},
	"unsupported":     &Unsupported{Type: "teleport"},
}

// vector is a file of testdata/vectors; the README there explains the fields.
type vector struct {
	Class   string          `json:"class"` // ok, malformed, unsupported
	Hex     string          `json:"hex"`
	Message json.RawMessage `json:"message,omitempty"`
}

func TestVectors(t *testing.T) {
	if *update {
		writeVectors(t)
	}
	files, err := filepath.Glob("testdata/vectors/*.json")
	if err != nil || len(files) < len(samples) {
		t.Fatalf("%d vectors: %v", len(files), err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".json"), func(t *testing.T) { vectorOf(t, f).run(t) })
	}
}

func vectorOf(t *testing.T, file string) (v vector) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(b, &v)
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (v vector) run(t *testing.T) {
	b, err := hex.DecodeString(v.Hex)
	if err != nil {
		t.Fatal(err)
	}
	m, err := Parse(b)
	class := "ok"
	switch {
	case errors.Is(err, ErrUnsupported):
		class = "unsupported"
	case errors.Is(err, ErrMalformed):
		class = "malformed"
	case err != nil:
		class = err.Error()
	}
	if class != v.Class {
		t.Fatalf("class %s (%v), want %s", class, err, v.Class)
	}
	if class != "ok" {
		return
	}
	got, err := codec.Marshal(codec.JSON, m)
	if err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	if err := json.Compact(&want, v.Message); err != nil || !bytes.Equal(got, want.Bytes()) {
		t.Errorf("read %s\nwant %s", got, want.Bytes())
	}
	again, err := Marshal(m)
	if err != nil || !bytes.Equal(again, b) {
		t.Errorf("written %x (%v)\nwant    %x", again, err, b)
	}
}

func writeVectors(t *testing.T) {
	for name, m := range samples {
		b, err := Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		text, err := codec.Marshal(codec.JSON, m)
		if err != nil {
			t.Fatal(err)
		}
		out, err := json.MarshalIndent(vector{"ok", hex.EncodeToString(b), text}, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join("testdata/vectors", name+".json"), append(out, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSamplesAreVectors(t *testing.T) {
	for name, m := range samples {
		b, err := Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if v := vectorOf(t, filepath.Join("testdata/vectors", name+".json")); v.Hex != hex.EncodeToString(b) {
			t.Errorf("%s is written as %x, the vector has %s", name, b, v.Hex)
		}
	}
}

func TestRecords(t *testing.T) {
	got, release, err := Records(data(), 41, 4)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	for i, r := range got {
		w := records[i]
		if r.Seq != w.Seq || r.Time != w.Time || r.QoS != w.QoS || r.Topic != w.Topic || !bytes.Equal(r.Payload, w.Payload) {
			t.Errorf("record %d is %+v, want %+v", i, r, w)
		}
	}
	for _, tt := range []struct {
		about string
		data  []byte
		first uint64
		n     int
	}{
		{"fewer than said", data(), 41, 5}, {"more than said", data(), 41, 3}, {"none", []byte{0x80}, 41, 0}, {"no array", []byte{0x01}, 41, 1},
		{"too many", data(), 41, MaxRecords + 1}, {"cut", data()[:20], 41, 4}, {"trailing", append(data(), 0), 41, 4},
		{"a number twice", []byte{0x82, 0x85, 0, 0, 0, 0x61, 'a', 0x40, 0x85, 0, 0, 0, 0, 0x40}, 1, 2},
		{"a topic that was not told", []byte{0x81, 0x85, 0, 0, 0, 1, 0x40}, 1, 1},
		{"no topic", []byte{0x81, 0x85, 0, 0, 0, 0x60, 0x40}, 1, 1},
		{"QoS 2", []byte{0x81, 0x85, 0, 0, 2, 0x61, 'a', 0x40}, 1, 1},
		{"a text for a payload", []byte{0x81, 0x85, 0, 0, 0, 0x61, 'a', 0x60}, 1, 1},
		{"numbers that run over", []byte{0x82, 0x85, 0, 0, 0, 0x61, 'a', 0x40, 0x85, 9, 0, 0, 0, 0x40}, maxSeq - 3, 2},
	} {
		if _, _, err := Records(tt.data, tt.first, tt.n); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v, want ErrMalformed", tt.about, err)
		}
	}
}

// TestSet compares with a set of single numbers.
func TestSet(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	const most = 60
	for range 300 {
		var s Set
		plain := map[uint64]bool{}
		for range 20 {
			from := 1 + rnd.Uint64N(most)
			to := min(from+rnd.Uint64N(6), most)
			remove := rnd.IntN(3) == 0
			if remove {
				s.Remove(Set{{from, to}})
			} else {
				s.Add(from, to)
			}
			for n := from; n <= to; n++ {
				plain[n] = !remove
			}
		}
		count := uint64(0)
		for n := uint64(1); n <= most; n++ {
			if s.Has(n) != plain[n] {
				t.Fatalf("%v has %d: %v", s, n, s.Has(n))
			}
			if plain[n] {
				count++
			}
		}
		if err := Set.check(s); err != nil {
			t.Fatalf("%v: %v", s, err)
		}
		var missing uint64
		for _, p := range s.Missing(1, most) {
			missing += p[1] - p[0] + 1
		}
		if s.Count() != count || missing != most-count {
			t.Fatalf("%v counts %d and misses %d, want %d of %d", s, s.Count(), missing, count, most)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, m := range samples {
		b, err := Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Parse(b)
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrUnsupported) {
				t.Fatal(err)
			}
			return
		}
		again, err := Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		m2, err := Parse(again)
		if _, free := m.(*Diagnosis); err != nil || !free && !reflect.DeepEqual(m, m2) {
			t.Fatalf("%+v became %+v (%v)", m, m2, err)
		}
	})
}

func FuzzRecords(f *testing.F) {
	f.Add(data(), uint64(41), 4)
	f.Fuzz(func(t *testing.T, b []byte, first uint64, n int) {
		got, release, err := Records(b, first, n)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		var w Writer
		for i := range got {
			w.Add(&got[i])
		}
		again, release2, err := Records(w.Data(), first, n)
		if err != nil || !reflect.DeepEqual(got, again) {
			t.Fatalf("%+v became %+v (%v)", got, again, err)
		}
		release()
		release2()
	})
}
