package signing_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/firmware/failure"
	"github.com/hawser-iot/hawser/firmware/manifest"
	"github.com/hawser-iot/hawser/firmware/signing"
)

var update = flag.Bool("update", false, "write the vectors anew")

const vectorDir = "../testdata/vectors"

// vector is one file of testdata/vectors, see the README there.
type vector struct {
	About      string        `json:"about"`
	Expect     failure.Class `json:"expect"`
	Clock      time.Time     `json:"clock"`
	Device     vectorDevice  `json:"device"`
	State      string        `json:"state"`
	Roots      []string      `json:"roots"`
	Envelope   string        `json:"envelope,omitempty"`
	Assignment string        `json:"assignment,omitempty"`
}

type vectorDevice struct {
	ID      string                  `json:"id"`
	Modules map[string]vectorModule `json:"modules"`
}

type vectorModule struct {
	Vendor  string `json:"vendor"`
	Class   string `json:"class"`
	Version string `json:"version,omitempty"`
}

func (a *try) vector(t *testing.T, about string, want failure.Class) vector {
	state, err := a.state.Encode()
	if err != nil {
		t.Fatal(err)
	}
	v := vector{About: about, Expect: want, Clock: a.clock, State: hex.EncodeToString(state), Envelope: hex.EncodeToString(a.envelope), Assignment: hex.EncodeToString(a.assignment)}
	v.Device = vectorDevice{ID: a.device.ID, Modules: map[string]vectorModule{}}
	for name, m := range a.device.Modules {
		v.Device.Modules[name] = vectorModule{m.Vendor.String(), m.Class.String(), m.Version}
	}
	for _, b := range a.roots {
		v.Roots = append(v.Roots, hex.EncodeToString(b))
	}
	return v
}

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) == 0 {
		return nil
	}
	return b
}

func (v *vector) try(t *testing.T) *try {
	t.Helper()
	state, err := signing.ParseState(unhex(t, v.State))
	if err != nil {
		t.Fatal(err)
	}
	a := &try{state: state, clock: v.Clock, envelope: unhex(t, v.Envelope), assignment: unhex(t, v.Assignment)}
	a.device = manifest.Device{ID: v.Device.ID, Modules: map[string]manifest.Module{}}
	for name, m := range v.Device.Modules {
		vendor, err := manifest.ParseUUID(m.Vendor)
		if err != nil {
			t.Fatal(err)
		}
		class, err := manifest.ParseUUID(m.Class)
		if err != nil {
			t.Fatal(err)
		}
		a.device.Modules[name] = manifest.Module{Vendor: vendor, Class: class, Version: m.Version}
	}
	for _, b := range v.Roots {
		a.roots = append(a.roots, unhex(t, b))
	}
	return a
}

// TestVectors holds the files against the code and, since signatures of fixed keys are the same in every run, the code
// against the files: a change of format shows here, and is written by -update only after its version has been raised.
func TestVectors(t *testing.T) {
	var names []string
	for _, tt := range attacks() {
		a := honest(t)
		tt.make(t, a)
		want, err := json.MarshalIndent(a.vector(t, tt.about, tt.want), "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, '\n')
		name := filepath.Join(vectorDir, tt.name+".json")
		names = append(names, name)
		if *update {
			if err := os.WriteFile(name, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is another than what is made now; has a format changed?", name)
		}
		var v vector
		if err := json.Unmarshal(got, &v); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		t.Run(tt.name, func(t *testing.T) { wantClass(t, v.try(t).run(), v.Expect) })
	}
	files, err := filepath.Glob(filepath.Join(vectorDir, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if !slices.Contains(names, name) {
			t.Errorf("%s is of no attack", name)
		}
	}
}
