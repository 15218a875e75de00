package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hawser-iot/hawser/firmware/delta"
	"github.com/hawser-iot/hawser/firmware/image"
	"github.com/hawser-iot/hawser/firmware/imagetest"
)

// TestEveryArchitectureMakesTheSameImage applies one update with programs for other processors, of 32 bits as gateways have them.
func TestEveryArchitectureMakesTheSameImage(t *testing.T) {
	dir := t.TempDir()
	want := writeUpdate(t, dir)
	for _, tt := range []struct{ arch, variant, qemu string }{
		{"amd64", "", ""},
		{"arm", "GOARM=5", "qemu-arm-static"},
		{"mipsle", "GOMIPS=softfloat", "qemu-mipsel-static"},
	} {
		t.Run(tt.arch, func(t *testing.T) {
			bin := filepath.Join(dir, "applier-"+tt.arch)
			build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", bin, ".")
			build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+tt.arch)
			if tt.variant != "" {
				build.Env = append(build.Env, tt.variant)
			}
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("build: %v\n%s", err, out)
			}
			made := filepath.Join(dir, "made-"+tt.arch)
			args := []string{bin, filepath.Join(dir, "old"), filepath.Join(dir, "index"), filepath.Join(dir, "delta"), filepath.Join(dir, "full"), made}
			if tt.qemu != "" {
				if _, err := exec.LookPath(tt.qemu); err != nil {
					t.Fatalf("%v: make install-test-deps installs it", err)
				}
				args = append([]string{tt.qemu}, args...)
			}
			out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			// The last payload is broken: one chunk comes from the full pack.
			if n := strings.Count(string(out), "bad chunk"); n != 1 {
				t.Errorf("%d bad chunks:\n%s", n, out)
			}
			got, err := os.ReadFile(made)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Error("another image came out")
			}
		})
	}
}

// writeUpdate writes what an update needs to dir, and returns the new image. The last payload of the delta pack is broken.
func writeUpdate(t *testing.T, dir string) []byte {
	t.Helper()
	old := imagetest.Stream("applier", 1<<20)
	new := slices.Concat(old[:200_000], []byte("an insertion"), old[200_000:700_000], imagetest.Stream("more", 30_000), old[700_000:], make([]byte, 300_000))
	for i := 400_000; i < 500_000; i += 777 {
		new[i] += 9
	}
	ctx := context.Background()
	var full, pack bytes.Buffer
	p, err := image.WritePack(ctx, &full, bytes.NewReader(new))
	if err != nil {
		t.Fatal(err)
	}
	base, err := image.Build(ctx, bytes.NewReader(old), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := delta.Diff(ctx, &pack, delta.Image{ReaderAt: bytes.NewReader(old), Built: *base},
		delta.Image{ReaderAt: bytes.NewReader(new), Built: p.Built}, delta.DiffConfig{TempDir: dir}); err != nil {
		t.Fatal(err)
	}
	index, err := p.Index.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	broken := pack.Bytes()
	broken[len(broken)-5] ^= 1
	for name, b := range map[string][]byte{"old": old, "index": index, "delta": broken, "full": full.Bytes()} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return new
}
