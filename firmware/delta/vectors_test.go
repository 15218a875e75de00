package delta

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/hawser-iot/hawser/firmware/failure"
	"github.com/hawser-iot/hawser/firmware/image"
	"github.com/hawser-iot/hawser/firmware/imagetest"
)

var rewrite = flag.Bool("update", false, "write the vectors")

const vectorDir = "../testdata/packs"

// vector is a file there; see its README.
type vector struct {
	About  string            `json:"about"`
	Kind   string            `json:"kind"`
	Base   *imagetest.Recipe `json:"base,omitempty"`
	Target imagetest.Recipe  `json:"target"`
	File   []byte            `json:"file"`
	Expect failure.Class     `json:"expect"`
	Bad    []int             `json:"bad,omitempty"`
}

func TestVectors(t *testing.T) {
	if *rewrite {
		writeVectors(t)
	}
	names, err := filepath.Glob(filepath.Join(vectorDir, "*.json"))
	if err != nil || len(names) < 30 {
		t.Fatalf("%d vectors, %v", len(names), err)
	}
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			var v vector
			if err := json.Unmarshal(b, &v); err != nil {
				t.Fatal(err)
			}
			bad, err := v.run(t)
			if got := failure.Of(err); got != v.Expect || err != nil && got == failure.Unclassified {
				t.Errorf("%s: class %q (%v), want %q", v.About, got, err, v.Expect)
			}
			if !slices.Equal(bad, v.Bad) {
				t.Errorf("%s: chunks %v are bad, want %v", v.About, bad, v.Bad)
			}
		})
	}
}

func (v *vector) run(t *testing.T) (bad []int, err error) {
	t.Helper()
	target := v.Target.Bytes()
	x := read(t, target).Index
	switch v.Kind {
	case "index":
		got, err := image.ParseIndex(v.File)
		if err == nil && !slices.Equal(got.Chunks, x.Chunks) {
			t.Error("it is the index of another image")
		}
		return nil, err
	case "full":
		p, err := image.OpenPack(t.Context(), source(v.File), x)
		for no := 0; err == nil && no < len(x.Chunks); no++ {
			_, err = p.Chunk(t.Context(), no)
		}
		return nil, err
	}
	p, err := Open(t.Context(), source(v.File), x)
	if err != nil {
		return nil, err
	}
	u := &update{old: v.Base.Bytes(), new: target, index: x, delta: v.File, full: v.full(t, target)}
	disk := imagetest.NewDisk(int64(len(target)))
	cfg := u.config(t, disk)
	cfg.Pack = p
	cfg.Bad = func(no int, _ error) { bad = append(bad, no) }
	if _, err := Apply(t.Context(), cfg); err != nil {
		return bad, err
	}
	if !bytes.Equal(disk.Bytes(), target) {
		return bad, errors.New("another image came out")
	}
	return bad, nil
}

func (v *vector) full(t *testing.T, target []byte) []byte {
	t.Helper()
	var w bytes.Buffer
	if _, err := image.WritePack(t.Context(), &w, bytes.NewReader(target)); err != nil {
		t.Fatal(err)
	}
	return w.Bytes()
}
