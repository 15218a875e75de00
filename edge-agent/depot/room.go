package depot

import (
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hawser-iot/hawser/device-sdk/update"
	"github.com/hawser-iot/hawser/firmware/failure"
	"github.com/hawser-iot/hawser/firmware/manifest"
)

// room is the disk that images of all sub-devices share: DIR/CLIENTID/SLOT/MODULE. Images of sub-devices that are not being updated stay, as bases of
// deltas and for others of their kind, until somebody needs their room; the one that was used longest ago goes first. So it is with those of sub-devices that are
// no longer known.
type room struct {
	dir    string
	budget int64
	turns  int
	log    *slog.Logger

	mu      sync.Mutex // guards the fields below
	lodgers map[string]*lodger
}

// lodger is a sub-device in a room.
type lodger struct {
	slot string // that it runs
	busy bool   // an update goes on: its images stay
	turn bool   // it downloads
	used time.Time
}

func newRoom(dir string, budget int64, turns int, log *slog.Logger) *room {
	return &room{dir: dir, budget: budget, turns: turns, log: log, lodgers: make(map[string]*lodger)}
}

func (r *room) enrol(id, slot string, busy bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lodgers[id] = &lodger{slot: slot, busy: busy}
}

// idle notes that no update goes on, pass that one needs no turn any more.
func (r *room) idle(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.lodgers[id]
	l.busy, l.turn = false, false
}

func (r *room) pass(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lodgers[id].turn = false
}

// settle notes the slot that runs now; what is in the other one goes, but for what the new one does not have.
func (r *room) settle(id, slot string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.lodgers[id]
	l.slot, l.used = slot, time.Now()
	r.moveLocked(id, other(slot), slot)
	r.dropLocked(id, other(slot))
}

// moveLocked brings images that a release has left as they are to the slot that has the others.
func (r *room) moveLocked(id, from, to string) {
	files, _ := os.ReadDir(filepath.Join(r.dir, id, from)) // none when it can't be read
	for _, f := range files {
		path := r.path(id, to, f.Name())
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := os.Rename(r.path(id, from, f.Name()), path); err != nil {
			r.log.Warn("an image is lost as the base of the next one", "subdevice", id, "module", f.Name(), "err", err)
		}
	}
}

func (r *room) path(id, slot, module string) string { return filepath.Join(r.dir, id, slot, module) }

// base opens the image that a sub-device runs.
func (r *room) base(id, slot, module string) (update.Base, error) {
	f, err := os.Open(r.path(id, slot, module))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, update.ErrNoBase
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return nil, errors.Join(update.ErrNoBase, err, f.Close())
	}
	return &base{f, info.Size()}, nil
}

type base struct {
	*os.File
	size int64
}

// Size implements update.Base.
func (b *base) Size() int64 { return b.size }

// target opens the place for an image, once it is the sub-device's turn and there is room. A place that is new begins with what another sub-device has
// of the same size: when it is the same image, nothing is downloaded, and when not, the Updater finds that out.
func (r *room) target(id, slot, module string, size int64) (update.Target, error) {
	if err := manifest.CheckModule(module); err != nil {
		return nil, failure.New(failure.WrongDevice, "depot: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.turnLocked(id); err != nil {
		return nil, err
	}
	path := r.path(id, slot, module)
	have := sizeOf(path)
	if err := r.makeRoomLocked(size - have); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if have == size {
		return f, nil
	}
	if err := r.fillLocked(f, id, module, have, size); err != nil {
		return nil, errors.Join(failure.New(failure.Space, "depot: %d bytes for %s: %w", size, id, err), f.Close())
	}
	return f, nil
}

// turnLocked makes it the sub-device's turn.
func (r *room) turnLocked(id string) error {
	l, taken := r.lodgers[id], 0
	l.busy = true
	for _, o := range r.lodgers {
		if o.turn {
			taken++
		}
	}
	if !l.turn && taken >= r.turns {
		return failure.New(failure.Space, "depot: the images of %d other sub-devices are downloaded first", taken)
	}
	l.turn = true
	return nil
}

// makeRoomLocked sees to it that more bytes are within the budget.
func (r *room) makeRoomLocked(more int64) error {
	for more > 0 {
		used := r.usedLocked()
		if used+more <= r.budget {
			return nil
		}
		oldest, since := "", time.Time{}
		for _, id := range r.idsLocked() {
			if l := r.lodgers[id]; l != nil && l.busy || r.bytesLocked(id) == 0 {
				continue
			}
			if at := r.lastUseLocked(id); oldest == "" || at.Before(since) {
				oldest, since = id, at
			}
		}
		if oldest == "" {
			return failure.New(failure.Space, "depot: %d bytes are used and %d more are needed, the budget is %d", used, more, r.budget)
		}
		r.log.Info("an image that is not needed now makes room", "subdevice", oldest)
		r.dropLocked(oldest, "A")
		r.dropLocked(oldest, "B")
	}
	return nil
}

// idsLocked are the sub-devices that have images, known or not.
func (r *room) idsLocked() (ids []string) {
	dirs, _ := os.ReadDir(r.dir) // none when it can't be read
	for _, d := range dirs {
		ids = append(ids, d.Name())
	}
	return ids
}

func (r *room) usedLocked() (n int64) {
	for _, id := range r.idsLocked() {
		n += r.bytesLocked(id)
	}
	return n
}

// lastUseLocked is when a sub-device began to run what it runs; when its newest image was written, where that was before the agent started.
func (r *room) lastUseLocked(id string) (at time.Time) {
	if l := r.lodgers[id]; l != nil && !l.used.IsZero() {
		return l.used
	}
	for _, slot := range []string{"A", "B"} {
		files, _ := os.ReadDir(filepath.Join(r.dir, id, slot)) // none when it can't be read
		for _, f := range files {
			if info, err := f.Info(); err == nil && info.ModTime().After(at) {
				at = info.ModTime()
			}
		}
	}
	return at
}

func (r *room) bytesLocked(id string) (n int64) {
	for _, slot := range []string{"A", "B"} {
		files, _ := os.ReadDir(filepath.Join(r.dir, id, slot)) // none when it can't be read
		for _, f := range files {
			n += sizeOf(r.path(id, slot, f.Name()))
		}
	}
	return n
}

func (r *room) dropLocked(id, slot string) {
	if err := os.RemoveAll(filepath.Join(r.dir, id, slot)); err != nil {
		r.log.Error("an image can't be removed", "subdevice", id, "err", err)
	}
}

// fillLocked gives a target its size, so that a full disk is found before anything is downloaded.
func (r *room) fillLocked(f *os.File, id, module string, have, size int64) error {
	if have > size {
		return f.Truncate(size)
	}
	if have == 0 {
		if twin := r.twinLocked(id, module, size); twin != "" {
			if err := copyInto(f, twin); err == nil {
				return nil
			}
			have = 0 // written over from the start
		}
	}
	_, err := io.CopyN(io.NewOffsetWriter(f, have), zeros{}, size-have)
	if err = errors.Join(err, f.Sync()); err != nil {
		err = errors.Join(err, f.Truncate(have)) // the gateway's buffer needs the room
	}
	return err
}

// twinLocked is the image of that size that another sub-device runs, "" if there is none.
func (r *room) twinLocked(id, module string, size int64) string {
	for o, l := range r.lodgers {
		if path := r.path(o, l.slot, module); o != id && sizeOf(path) == size {
			return path
		}
	}
	return ""
}

func copyInto(f *os.File, path string) error {
	from, err := os.Open(path)
	if err != nil {
		return err
	}
	defer from.Close() // it was only read
	_, err = io.Copy(io.NewOffsetWriter(f, 0), from)
	return errors.Join(err, f.Sync())
}

func sizeOf(path string) int64 {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return 0
	}
	return info.Size()
}

type zeros struct{}

// Read implements io.Reader.
func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}
