package trial_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hawser-iot/hawser/edge-agent/trial"
)

func begin(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "agent.yaml")
	write(t, path, "old")
	if err := trial.Begin(path, []byte("new"), 100*time.Second); err != nil {
		t.Fatal(err)
	}
	return path
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func resume(t *testing.T, path string) *trial.Trial {
	t.Helper()
	tr, err := trial.Resume(path)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// ended checks how it ended and what is in force.
func ended(t *testing.T, path, file string, applied bool, why string) {
	t.Helper()
	o, ok, err := trial.Last(path)
	if err != nil || !ok || o.Applied != applied || !strings.Contains(o.Why, why) || o.At.IsZero() {
		t.Errorf("outcome %+v, %v, %v", o, ok, err)
	}
	if got := read(t, path); got != file {
		t.Errorf("in force is %q, want %q", got, file)
	}
	if tr := resume(t, path); tr != nil {
		t.Error("the trial goes on")
	}
}

func TestHealthyIsApplied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := begin(t)
		if _, ok, _ := trial.Last(path); ok {
			t.Error("there is an outcome")
		}
		if err := trial.Begin(path, []byte("other"), time.Minute); !errors.Is(err, trial.ErrRunning) {
			t.Errorf("another one: %v", err)
		}
		began := time.Now()
		// It is late, and then it is let prove itself.
		if err := resume(t, path).Watch(t.Context(), func() bool { return time.Since(began) > 90*time.Second }); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < 109*time.Second || took > 112*time.Second {
			t.Errorf("applied after %s", took)
		}
		ended(t, path, "new", true, "")
	})
}

func TestUnhealthyIsTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := begin(t)
		n := 0
		err := resume(t, path).Watch(t.Context(), func() bool { n++; return n%10 != 0 }) // well, but never for long
		if !errors.Is(err, trial.ErrTakenBack) {
			t.Fatal(err)
		}
		ended(t, path, "old", false, "not healthy within 1m40s")
	})
}

func TestStartedTooOften(t *testing.T) {
	path := begin(t)
	for range trial.MaxStarts {
		if resume(t, path) == nil {
			t.Fatal("no trial")
		}
	}
	if resume(t, path) != nil {
		t.Error("started once more")
	}
	ended(t, path, "old", false, "started 3 times")
}

func TestTakenBackByItsCaller(t *testing.T) {
	path := begin(t)
	if err := resume(t, path).TakeBack("the port is in use"); err != nil {
		t.Fatal(err)
	}
	ended(t, path, "old", false, "the port is in use")
}

// TestPowerCuts: after a cut at any step one of both files is in force, and no trial is left behind.
func TestPowerCuts(t *testing.T) {
	for name, tt := range map[string]struct {
		cut  func(t *testing.T, path string)
		want string
	}{
		"before the new file":              {func(t *testing.T, path string) { write(t, path, "old") }, "old"},
		"behind the old file's return":     {func(t *testing.T, path string) { resume(t, path); write(t, path, "old") }, "old"},
		"the plan is damaged":              {func(t *testing.T, path string) { write(t, path+".trial", "{") }, "old"},
		"somebody has edited it meanwhile": {func(t *testing.T, path string) { write(t, path, "edited") }, "edited"},
	} {
		t.Run(name, func(t *testing.T) {
			path := begin(t)
			tt.cut(t, path)
			if resume(t, path) != nil {
				t.Error("the trial goes on")
			}
			ended(t, path, tt.want, false, "")
		})
	}
	path := filepath.Join(t.TempDir(), "agent.yaml")
	write(t, path, "old")
	if resume(t, path) != nil {
		t.Error("a trial of nothing")
	}
}
