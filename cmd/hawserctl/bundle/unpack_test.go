package bundle

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestUnpackCut: an archive that is cut off anywhere leaves what was there, and nothing else.
func TestUnpackCut(t *testing.T) {
	for name, shell := range map[string][]string{"sh": {"sh", "-c"}, "busybox": {"busybox", "sh", "-c"}} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			unpack := func(program string, share int) error {
				c := good()
				c.Agent = bytes.Repeat([]byte(program), 20_000)
				files, err := c.Files()
				must(t, err)
				var b bytes.Buffer
				must(t, Write(&b, files))
				cmd := exec.Command(shell[0], append(shell[1:], Unpack("'"+root+"/'", files))...)
				cmd.Stdin = bytes.NewReader(b.Bytes()[:b.Len()*share/100])
				out, err := cmd.CombinedOutput()
				if err != nil {
					err = fmt.Errorf("%w: %s", err, out)
				}
				return err
			}
			runs := func(program string) {
				t.Helper()
				b, err := os.ReadFile(filepath.Join(root, "usr/bin/hawser-agent"))
				must(t, err)
				if want := bytes.Repeat([]byte(program), 20_000); !bytes.Equal(b, want) {
					t.Fatalf("the program is %d bytes, %.10q…", len(b), b)
				}
				left, err := filepath.Glob(filepath.Join(root, "usr/bin/*"))
				must(t, err)
				if hidden, _ := filepath.Glob(filepath.Join(root, ".hawser*")); len(left) != 1 || len(hidden) != 0 {
					t.Fatalf("there is %q %q", left, hidden)
				}
			}
			must(t, unpack("first", 100))
			runs("first")
			for _, share := range []int{0, 10, 50, 99} {
				if err := unpack("second", share); err == nil {
					t.Errorf("cut off at %d %%: no error", share)
				}
				runs("first")
			}
			must(t, os.Mkdir(filepath.Join(root, staging), 0o700)) // the power went meanwhile
			must(t, unpack("second", 100))
			runs("second")
			for name, want := range map[string]os.FileMode{"etc/hawser-agent": 0o700, "etc/hawser-agent/secret": 0o600, "usr/bin/hawser-agent": 0o755} {
				info, err := os.Stat(filepath.Join(root, name))
				must(t, err)
				if got := info.Mode().Perm(); got != want {
					t.Errorf("%s has %o, want %o", name, got, want)
				}
			}
		})
	}
}
