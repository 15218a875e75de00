// Package trial changes the agent's configuration so that a change which does not work is taken back: the new file is in force on trial, until the
// agent that runs with it has been healthy for a while, or for too long has not.
//
// It promises that whenever the power is cut one of both files is in force, whole, and that the old one comes back when the agent with the new one
// does not start, or starts more than MaxStarts times without having proved itself; and that who begins a change, who starts, and who takes one back do so one
// after the other, in whatever processes. Beside FILE lie FILE.before (what was in force before the last change), FILE.trial (while there is one) and FILE.outcome (of the last one).
//
// It leaves to its caller what a right configuration is, and what healthy means.
package trial

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// MaxStarts is how often the agent may start on trial.
const MaxStarts = 3

// Errors of the package.
var (
	// ErrRunning: a change is on trial already.
	ErrRunning = errors.New("trial: a change of the configuration is on trial already")
	// ErrTakenBack is returned by Watch when the old configuration is in force again.
	ErrTakenBack = errors.New("trial: the change of the configuration was taken back")
)

// Outcome is how a trial ended.
type Outcome struct {
	At      time.Time `json:"at"`
	Applied bool      `json:"applied"`
	Of      string    `json:"of,omitempty"`  // the Sum of the new file
	Why     string    `json:"why,omitempty"` // it was taken back
}

// Trial is a change that has not proved itself yet.
type Trial struct {
	disk disk
	path string
	plan plan
}

// plan is FILE.trial.
type plan struct {
	Next   string        `json:"next"` // SHA-256 of the new file
	Within time.Duration `json:"within"`
	Starts int           `json:"starts"`
}

// Begin puts next into the place of the file at path, on trial. The agent that is started next must prove itself within the time. After an error the file is
// what it was.
func Begin(path string, next []byte, within time.Duration) error {
	return disk{}.begin(path, next, within)
}

func (d disk) begin(path string, next []byte, within time.Duration) error {
	unlock, err := d.lock(path) // no start and no other change comes between the files
	if err != nil {
		return err
	}
	defer unlock()
	if Begun(path) {
		return ErrRunning
	}
	now, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("trial: %w", err)
	}
	b, err := json.Marshal(plan{Next: Sum(next), Within: within})
	if err != nil {
		return err
	}
	if err := d.remove(path + ".outcome"); err != nil { // of the last one, which is not this one's
		return err
	}
	for _, step := range []struct {
		path string
		b    []byte
	}{{path + ".before", now}, {path + ".trial", b}, {path, next}} {
		if err := d.replace(step.path, step.b); err != nil {
			return errors.Join(err, d.undo(path, now))
		}
	}
	return nil
}

// undo ends a change that could not be begun. Where it can't either, the next start does, or is on trial.
func (d disk) undo(path string, now []byte) error {
	if b, err := os.ReadFile(path); err != nil || !bytes.Equal(b, now) {
		if err := d.rename(path+".before", path); err != nil {
			return fmt.Errorf("trial: %w", err)
		}
	}
	return d.remove(path + ".trial")
}

// Resume is called before the file is read, at each start: it counts the start and returns the trial, nil when there is none. One that was started too
// often, or whose start can't be counted, is taken back here.
func Resume(path string) (*Trial, error) { return disk{}.resume(path) }

func (d disk) resume(path string) (*Trial, error) {
	if !Begun(path) {
		return nil, nil // nor is anything locked or written: most starts are such
	}
	unlock, err := d.lock(path)
	if err != nil {
		return nil, err
	}
	defer unlock()
	b, err := os.ReadFile(path + ".trial")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	t := &Trial{disk: d, path: path}
	if err == nil {
		err = json.Unmarshal(b, &t.plan)
	}
	if err != nil {
		return nil, t.takeBack(fmt.Sprintf("its plan can't be read: %s", err))
	}
	now, err := os.ReadFile(path)
	if err != nil {
		return nil, errors.Join(err, t.takeBack("the new file is gone"))
	}
	if Sum(now) != t.plan.Next {
		// The power was cut before the new file was in its place, or behind the old one's return; or somebody has edited it, which ends it too.
		return nil, t.end(Outcome{Why: "it was interrupted"})
	}
	if t.plan.Starts++; t.plan.Starts > MaxStarts {
		return nil, t.takeBack(fmt.Sprintf("the agent started %d times with it and did not prove itself", MaxStarts))
	}
	if b, err = json.Marshal(t.plan); err != nil {
		return nil, err
	}
	if err := d.replace(path+".trial", b); err != nil {
		// One that is not counted could be tried for ever.
		return nil, t.takeBack(fmt.Sprintf("its start could not be counted: %s", err))
	}
	return t, nil
}

// Watch looks until the change has proved itself: healthy is true for a fifth of its time in a row. When the time is over before, it is taken back
// and Watch returns ErrTakenBack; when ctx ends before, nil: the trial goes on with the next start.
func (t *Trial) Watch(ctx context.Context, healthy func() bool) error {
	tick := time.NewTicker(max(t.plan.Within/100, time.Millisecond))
	defer tick.Stop()
	began := time.Now()
	well := began
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			if !healthy() {
				well = now
			}
			switch {
			case now.Sub(well) >= t.plan.Within/5:
				return t.applied()
			case now.Sub(began) >= t.plan.Within && now.Equal(well):
				return errors.Join(ErrTakenBack, t.TakeBack(fmt.Sprintf("the agent was not healthy within %s", t.plan.Within)))
			}
		}
	}
}

func (t *Trial) applied() error {
	unlock, err := t.disk.lock(t.path)
	if err != nil {
		return err
	}
	defer unlock()
	return t.end(Outcome{Applied: true})
}

// TakeBack puts the old file back.
func (t *Trial) TakeBack(why string) error {
	unlock, err := t.disk.lock(t.path)
	if err != nil {
		return err
	}
	defer unlock()
	return t.takeBack(why)
}

// takeBack works on a full disk too: what was in force lies beside.
func (t *Trial) takeBack(why string) error {
	if err := t.disk.rename(t.path+".before", t.path); err != nil {
		return fmt.Errorf("trial: the old configuration does not come back: %w", err)
	}
	return t.end(Outcome{Why: why})
}

// end notes how it ended. That this can't be told does not keep it going.
func (t *Trial) end(o Outcome) error {
	o.At, o.Of = time.Now().UTC().Truncate(time.Second), t.plan.Next
	b, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return errors.Join(t.disk.replace(t.path+".outcome", b), t.disk.remove(t.path+".trial"))
}

// Begun tells whether a change is on trial, or will be with the next start.
func Begun(path string) bool {
	_, err := os.Stat(path + ".trial")
	return err == nil
}

// Last returns how the last trial ended; ok is false when there was none, or one goes on.
func Last(path string) (o Outcome, ok bool, err error) {
	if Begun(path) {
		return o, false, nil
	}
	b, err := os.ReadFile(path + ".outcome")
	if errors.Is(err, fs.ErrNotExist) {
		return o, false, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &o)
	}
	return o, err == nil, err
}

// Sum is what a file is known by: its SHA-256.
func Sum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}
