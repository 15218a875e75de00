package agents

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hawser-iot/hawser/testbed/harness"
)

// isStatic checks that a program needs no loader, no library, and holds neither symbols nor a path of this machine.
func isStatic(t *testing.T, program string) {
	t.Helper()
	f, err := elf.Open(program)
	must(t, err)
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("it has a segment %v", p.Type)
		}
	}
	if f.Section(".symtab") != nil || f.Section(".debug_info") != nil {
		t.Error("it has symbols")
	}
	b, err := os.ReadFile(program)
	must(t, err)
	for _, s := range []string{harness.Root(t), os.Getenv("HOME") + "/go/pkg", "vcs.time"} {
		if bytes.Contains(b, []byte(s)) {
			t.Errorf("%q is in it", s)
		}
	}
}

// TestReproducible builds from a copy of the sources in another folder: the same bytes. In the long form the copy is compiled anew, with no cache.
func TestReproducible(t *testing.T) {
	root := harness.Root(t)
	other := filepath.Join(t.TempDir(), "somewhere", "else")
	must(t, os.MkdirAll(other, 0o755))
	copyTree := exec.Command("cp", "-r", "go.mod", "go.sum", "cmd", "device-sdk", "edge-agent", "firmware", "protocol", other)
	copyTree.Dir = root
	if out, err := copyTree.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if long() {
		t.Setenv("GOCACHE", t.TempDir())
	}
	for _, target := range targets(t, smallest, "linux-386") {
		for _, variant := range Variants {
			var sums [2][sha256.Size]byte
			for i, dir := range []string{root, other} {
				out := filepath.Join(t.TempDir(), "agent")
				must(t, Build(t.Context(), dir, target, variant, "1.2.3", out))
				b, err := os.ReadFile(out)
				must(t, err)
				sums[i] = sha256.Sum256(b)
			}
			if sums[0] != sums[1] {
				t.Errorf("%s: %x here, %x there", FileName(target, variant), sums[0], sums[1])
			}
		}
	}
}

func TestJudge(t *testing.T) {
	small, err := Find(smallest)
	must(t, err)
	was := Sizes{FileName(small, "core"): MaxCore - 50<<10, FileName(small, "gateway"): 10 << 20}
	for _, tt := range []struct {
		variant string
		bytes   int64
		want    string
	}{
		{"core", MaxCore, ""},
		{"core", MaxCore + 1, "more than 10223616"},
		{"gateway", 10<<20 + MaxGrowth, ""},
		{"gateway", 10<<20 + MaxGrowth + 1, "100 KiB more"},
		{"gateway", 5 << 20, ""},
		{"other", 1, "not in docs/agent-sizes.txt"},
	} {
		err := was.Judge(small, tt.variant, tt.bytes)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s of %d bytes: %v, want %q", tt.variant, tt.bytes, err, tt.want)
		}
	}
}

func TestSizesFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sizes")
	var b bytes.Buffer
	want := Sizes{"b": 2, "a": 1}
	must(t, want.Write(&b))
	must(t, os.WriteFile(path, b.Bytes(), 0o600))
	got, err := ReadSizes(path)
	if err != nil || len(got) != 2 || got["a"] != 1 || got["b"] != 2 {
		t.Errorf("read %v, %v", got, err)
	}
	must(t, os.WriteFile(path, []byte("a many\n"), 0o600))
	if _, err := ReadSizes(path); err == nil {
		t.Error("rubbish was read")
	}
}
