package update

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/hawser-iot/hawser/firmware/failure"
	"github.com/hawser-iot/hawser/firmware/manifest"
)

// Folder is Storage, Installer and Store of a device that has no boot loader of its own for what is updated: a program, data, or the
// firmware of a processor beside it. It has two slots of files, A and B, and a record of which of them starts.
//
//	slots/A/default    an image of each module, by the module's name
//	slots/B/default
//	records/…          what must last
//
// Start is its boot loader: call it once at the program's start, before New, and use the files under Path.
type Folder struct {
	dir     string
	files   *Files
	restart func()

	mu      sync.Mutex // guards the fields below
	running string
}

var (
	_ Storage   = (*Folder)(nil)
	_ Installer = (*Folder)(nil)
	_ Store     = (*Folder)(nil)
)

// folderTries is how often what is on trial is started before the slot that is confirmed comes back.
const folderTries = 3

// OpenFolder returns the Folder dir, which it makes if need be. restart is called when the program is to be started anew: it returns soon, and the
// program ends, or begins at its start again.
func OpenFolder(dir string, restart func()) (*Folder, error) {
	for _, slot := range []string{"A", "B"} {
		if err := os.MkdirAll(filepath.Join(dir, "slots", slot), 0o755); err != nil {
			return nil, fmt.Errorf("update: folder: %w", err)
		}
	}
	files, err := OpenFiles(filepath.Join(dir, "records"))
	if err != nil {
		return nil, err
	}
	return &Folder{dir: dir, files: files, restart: restart}, nil
}

// folderBoot is the record "boot": the slot that is confirmed, the one that is tried, how often still.
type folderBoot struct {
	confirmed, try string
	tries          uint64
}

const bootRecord = "boot"

func (f *Folder) boot() (b folderBoot, err error) {
	text, err := f.files.Load(bootRecord)
	switch {
	case err != nil:
		return b, err
	case text == nil:
		return folderBoot{confirmed: "A", try: "-"}, nil
	}
	if _, err := fmt.Sscanf(string(text), "%s %s %d", &b.confirmed, &b.try, &b.tries); err != nil {
		return b, fmt.Errorf("update: folder: record of slots %.20q: %w", text, err)
	}
	return b, nil
}

// change writes the record, if f changes it.
func (f *Folder) change(edit func(b *folderBoot)) error {
	b, err := f.boot()
	if err != nil {
		return err
	}
	before := b
	if edit(&b); b == before {
		return nil
	}
	return f.files.Save(bootRecord, fmt.Appendf(nil, "%s %s %d", b.confirmed, b.try, b.tries))
}

// Start chooses the slot that runs from now on, and returns it: the one on trial while it has tries, else the one that is confirmed.
func (f *Folder) Start() (slot string, err error) {
	err = f.change(func(b *folderBoot) {
		if slot = b.confirmed; b.try == "-" {
			return
		}
		if b.tries == 0 {
			b.try = "-"
			return
		}
		slot, b.tries = b.try, b.tries-1
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running = slot
	return slot, err
}

// Path is the file of a module in the slot that runs.
func (f *Folder) Path(module string) string { return f.path(f.slot(), module) }

func (f *Folder) path(slot, module string) string { return filepath.Join(f.dir, "slots", slot, module) }

func (f *Folder) slot() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.running
}

func (f *Folder) other() string {
	if f.slot() == "A" {
		return "B"
	}
	return "A"
}

// Base implements Storage.
func (f *Folder) Base(module string) (Base, error) {
	file, err := os.Open(f.Path(module))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoBase
	}
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil || info.Size() == 0 {
		return nil, errors.Join(ErrNoBase, err, file.Close())
	}
	return &folderBase{file, info.Size()}, nil
}

type folderBase struct {
	*os.File
	size int64
}

// Size implements Base.
func (b *folderBase) Size() int64 { return b.size }

// Target implements Storage. The file has the image's size from the start, so that a full disk is found before anything is downloaded. What is in it stays: it may be
// what the device goes back to. Where it was longer, Arm takes off what is behind the image.
func (f *Folder) Target(module string, size int64) (Target, error) {
	if err := manifest.CheckModule(module); err != nil {
		return nil, failure.New(failure.WrongDevice, "update: folder: %w", err)
	}
	path := f.path(f.other(), module)
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := reserve(file, size); err != nil {
		return nil, errors.Join(failure.New(failure.Space, "update: folder: %d bytes for module %s: %w", size, module, err), file.Close())
	}
	return file, nil
}

// reserve gives a file that is shorter its size, or leaves it as it is.
func reserve(file *os.File, size int64) error {
	info, err := file.Stat()
	if err != nil || info.Size() >= size {
		return err
	}
	// Zeros are written: a hole takes no room, and would find none later.
	_, err = io.CopyN(io.NewOffsetWriter(file, info.Size()), zeros{}, size-info.Size())
	if err = errors.Join(err, file.Sync()); err != nil {
		err = errors.Join(err, file.Truncate(info.Size())) // others need the room too
	}
	return err
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// Boot implements Installer.
func (f *Folder) Boot(context.Context) (Boot, error) {
	b, err := f.boot()
	slot := f.slot()
	if err == nil && slot == "" {
		err = errors.New("update: folder: Start was not called")
	}
	return Boot{Slot: slot, Confirmed: slot == b.confirmed, Armed: b.try == f.other() && b.tries > 0, TriesLeft: b.tries}, err
}

// Clear implements Installer.
func (f *Folder) Clear(context.Context) error {
	return f.change(func(b *folderBoot) { b.try, b.tries = "-", 0 })
}

// Arm implements Installer. What the release does not have comes from the slot that runs.
func (f *Folder) Arm(ctx context.Context, r Release) error {
	in := map[string]bool{}
	for _, i := range r.Images {
		in[i.Module] = true
	}
	from, to := filepath.Join(f.dir, "slots", f.slot()), filepath.Join(f.dir, "slots", f.other())
	files, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range files {
		if in[e.Name()] || !e.Type().IsRegular() {
			continue
		}
		if err := copyFile(ctx, filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
			return fmt.Errorf("update: folder: take %s over: %w", e.Name(), err)
		}
	}
	for _, i := range r.Images {
		if err := shorten(filepath.Join(to, i.Module), int64(i.Size)); err != nil {
			return fmt.Errorf("update: folder: end %s: %w", i.Module, err)
		}
	}
	if err := syncDir(to); err != nil {
		return err
	}
	return f.change(func(b *folderBoot) { b.try, b.tries = f.other(), folderTries })
}

// shorten takes off what a file has behind an image of size bytes.
func shorten(path string, size int64) error {
	if size <= 0 {
		return nil // it is not known
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err == nil && info.Size() > size {
		err = errors.Join(file.Truncate(size), file.Sync())
	}
	return errors.Join(err, file.Close())
}

// copyFile makes a copy that is whole when it returns. It is done anew after a power cut.
func copyFile(ctx context.Context, from, to string) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	r, err := os.Open(from)
	if err != nil {
		return err
	}
	defer r.Close() // it was only read
	w, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	return errors.Join(err, w.Sync(), w.Close())
}

// Restart implements Installer.
func (f *Folder) Restart(context.Context) error {
	f.restart()
	return nil
}

// Confirm implements Installer.
func (f *Folder) Confirm(context.Context) error {
	return f.change(func(b *folderBoot) { b.confirmed, b.try, b.tries = f.slot(), "-", 0 })
}

// Revert implements Installer.
func (f *Folder) Revert(ctx context.Context) error { return f.Clear(ctx) }

// Load implements Store.
func (f *Folder) Load(name string) ([]byte, error) { return f.files.Load(name) }

// Save implements Store.
func (f *Folder) Save(name string, record []byte) error { return f.files.Save(name, record) }
