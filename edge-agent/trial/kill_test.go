//go:build unix

package trial_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/edge-agent/trial"
)

// The process that is killed is this test's program once more.
const (
	envFile = "TRIAL_TEST_FILE"
	envWhat = "TRIAL_TEST_WHAT"
	envKill = "TRIAL_TEST_KILL"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(envFile); path != "" {
		os.Exit(victim(path, os.Getenv(envWhat), os.Getenv(envKill)))
	}
	os.Exit(m.Run())
}

// victim does what is asked for and kills itself before the change of that number. It ends with 3 when there are fewer.
func victim(path, what, kill string) int {
	at, _ := strconv.Atoi(kill)
	d := trial.NewDisk(func(string) error {
		if at--; at == 0 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // until that has happened
		}
		return nil
	}, time.Minute)
	switch what {
	case "begin":
		if err := d.Begin(path, []byte("new"), time.Minute); err != nil {
			return 1
		}
	case "take back":
		t, err := d.Resume(path)
		if err != nil || t == nil || t.TakeBack("it is not well") != nil {
			return 1
		}
	}
	return 3
}

// killedAt runs the victim; false when it has come to its end.
func killedAt(t *testing.T, path, what string, n int) bool {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), envFile+"="+path, envWhat+"="+what, envKill+"="+strconv.Itoa(n))
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		t.Fatalf("%v: %s", err, out)
	}
	if s, ok := exit.Sys().(syscall.WaitStatus); ok && s.Signaled() {
		return true
	}
	if exit.ExitCode() != 3 {
		t.Fatalf("%v: %s", err, out)
	}
	return false
}

// TestKilledAtEachChange: whoever is killed leaves the old file in force, or the new one on trial, and no lock.
func TestKilledAtEachChange(t *testing.T) {
	for _, what := range []string{"begin", "take back"} {
		t.Run(what, func(t *testing.T) {
			n := 1
			for ; ; n++ {
				path := filepath.Join(t.TempDir(), "agent.yaml")
				write(t, path, "old")
				if what == "take back" {
					if err := trial.Begin(path, []byte("new"), time.Minute); err != nil {
						t.Fatal(err)
					}
				}
				if !killedAt(t, path, what, n) {
					break
				}
				sane(t, path, n)
			}
			if n < 8 {
				t.Errorf("only %d changes", n-1)
			}
		})
	}
}

// sane checks what the next start finds, and that another change can be made.
func sane(t *testing.T, path string, n int) {
	t.Helper()
	tr := resume(t, path)
	switch file := read(t, path); {
	case file == "new" && tr == nil:
		t.Errorf("killed at %d: the new file is in force and not on trial", n)
	case file == "new":
		if err := tr.TakeBack("enough"); err != nil || read(t, path) != "old" {
			t.Errorf("killed at %d: taken back: %v", n, err)
		}
	case file != "old" || tr != nil:
		t.Errorf("killed at %d: in force is %q, trial %v", n, file, tr)
	}
	if err := trial.Begin(path, []byte("another"), time.Minute); err != nil {
		t.Errorf("killed at %d: another change: %v", n, err)
	}
}

// TestStartAndChangeDuringBegin: neither a start nor another change comes between the files of a change that begins.
func TestStartAndChangeDuringBegin(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.yaml")
	write(t, path, "old")
	other := trial.NewDisk(nil, time.Nanosecond)
	locked := 0
	d := trial.NewDisk(func(what string) error {
		tr, err := other.Resume(path)
		if tr != nil || err != nil && !errors.Is(err, trial.ErrRunning) {
			t.Errorf("start at %q: %v, %v", what, tr, err)
		}
		if err != nil {
			locked++
		}
		if err := other.Begin(path, []byte("other"), time.Minute); !errors.Is(err, trial.ErrRunning) {
			t.Errorf("another change at %q: %v", what, err)
		}
		return nil
	}, 0)
	if err := d.Begin(path, []byte("new"), time.Minute); err != nil {
		t.Fatal(err)
	}
	if read(t, path) != "new" || !trial.Begun(path) || resume(t, path) == nil {
		t.Errorf("in force is %q, begun %v", read(t, path), trial.Begun(path))
	}
	if locked < 3 { // while the plan was there and the new file was not
		t.Errorf("a start has waited %d times", locked)
	}
}

// TestFullDisk: a change that can't be begun leaves nothing of itself, and one whose starts can't be counted is taken back, for which there is always room.
func TestFullDisk(t *testing.T) {
	full := func(from int) trial.Disk {
		return trial.NewDisk(func(what string) error {
			if from--; from < 0 && strings.HasPrefix(what, "write ") {
				return syscall.ENOSPC
			}
			return nil
		}, 0)
	}
	t.Run("begin", func(t *testing.T) {
		n := 0
		for ; ; n++ {
			path := filepath.Join(t.TempDir(), "agent.yaml")
			write(t, path, "old")
			if err := full(n).Begin(path, []byte("new"), time.Minute); err == nil {
				break
			} else if !errors.Is(err, syscall.ENOSPC) {
				t.Fatal(err)
			}
			if trial.Begun(path) || read(t, path) != "old" {
				t.Errorf("full from %d on: in force is %q, begun %v", n, read(t, path), trial.Begun(path))
			}
			if err := trial.Begin(path, []byte("new"), time.Minute); err != nil {
				t.Errorf("full from %d on: once more: %v", n, err)
			}
		}
		if n < 6 {
			t.Errorf("only %d changes", n)
		}
	})
	t.Run("start", func(t *testing.T) {
		path := begin(t)
		if tr, err := full(0).Resume(path); tr != nil || !errors.Is(err, syscall.ENOSPC) { // of the outcome
			t.Errorf("%v, %v", tr, err)
		}
		if tr := resume(t, path); tr != nil || read(t, path) != "old" {
			t.Errorf("in force is %q, trial %v", read(t, path), tr)
		}
	})
}
