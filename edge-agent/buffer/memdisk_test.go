package buffer

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
)

var errPower = errors.New("the power is off")

const sector = 512

// memDisk is a disk that can lose power, be full and refuse writes. It remembers what a real one would have kept.
type memDisk struct {
	mu    sync.Mutex
	files map[string]*memFile // by name, as programs see them
	names map[string]*memFile // what the folders on the medium say
	dirs  map[string]bool
	locks map[string]bool
	ops   int   // writes, syncs, renames, removals so far
	cutAt int   // the power goes in this one; 0 is never
	fail  error // what every change fails with
	room  int64 // bytes that may be allocated; 0 is any
	wrote int64
}

type memFile struct {
	d       *memDisk
	data    []byte // as programs see it
	durable []byte // as it is on the medium
	pending []memWrite
	refuse  int // writes succeed and syncs fail when it is odd, writes fail behind some bytes when it is even
}

type memWrite struct {
	at int64
	b  []byte
}

func newMemDisk() *memDisk {
	return &memDisk{files: map[string]*memFile{}, names: map[string]*memFile{}, dirs: map[string]bool{}, locks: map[string]bool{}}
}

// op counts a change and reports whether it may happen; last is true for the one in which the power goes.
func (d *memDisk) op() (last bool, err error) {
	if d.cutAt > 0 && d.ops >= d.cutAt {
		return false, errPower
	}
	if d.fail != nil {
		return false, d.fail
	}
	d.ops++
	return d.ops == d.cutAt, nil
}

// restart is the disk after the power came back: of what was not synced each write is there, is not, or is there in part.
func (d *memDisk) restart(rng *rand.Rand) *memDisk {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := newMemDisk()
	n.dirs = maps.Clone(d.dirs)
	for _, name := range slices.Sorted(maps.Keys(d.names)) {
		old := d.names[name]
		f := &memFile{d: n, durable: slices.Clone(old.durable)}
		for _, w := range old.pending {
			f.durable = keepSome(f.durable, w, rng)
		}
		f.data = slices.Clone(f.durable)
		n.files[name], n.names[name] = f, f
	}
	return n
}

// keepSome applies each sector of a write or not, and one of them in part.
func keepSome(b []byte, w memWrite, rng *rand.Rand) []byte {
	all, none, torn := rng.IntN(3) == 0, rng.IntN(3) == 0, rng.IntN(4)
	for k := 0; k < len(w.b); {
		n := min(int(sector-(w.at+int64(k))%sector), len(w.b)-k)
		part := w.b[k : k+n]
		if !all && (none || rng.IntN(2) == 0) {
			part = nil
		} else if torn == 0 && !all && n > 1 {
			part, torn = part[:rng.IntN(n)], 1
		}
		b = overwrite(b, w.at+int64(k), part)
		k += n
	}
	return b
}

func overwrite(b []byte, at int64, w []byte) []byte {
	if n := at + int64(len(w)) - int64(len(b)); n > 0 && len(w) > 0 {
		b = append(b, make([]byte, n)...)
	}
	copy(b[min(at, int64(len(b))):], w)
	return b
}

func (d *memDisk) MkdirAll(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dirs[path.Clean(dir)] = true
	return nil
}

type memLock func()

func (l memLock) Close() error { l(); return nil }

func (d *memDisk) Lock(dir string) (io.Closer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.locks[dir] {
		return nil, ErrInUse
	}
	d.locks[dir] = true
	return memLock(func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.locks, dir)
	}), nil
}

func (d *memDisk) Names(dir string) (names []string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, n := range slices.Sorted(maps.Keys(d.files)) {
		if rest, ok := strings.CutPrefix(n, path.Clean(dir)+"/"); ok && !strings.Contains(rest, "/") {
			names = append(names, rest)
		}
	}
	return names, nil
}

func (d *memDisk) Dirs(dir string) (names []string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, n := range slices.Sorted(maps.Keys(d.dirs)) {
		if rest, ok := strings.CutPrefix(n, path.Clean(dir)+"/"); ok && !strings.Contains(rest, "/") {
			names = append(names, rest)
		}
	}
	return names, nil
}

func (d *memDisk) ReadFile(name string) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.files[path.Clean(name)]
	if f == nil {
		return nil, fs.ErrNotExist
	}
	return slices.Clone(f.data), nil
}

func (d *memDisk) Open(name string) (file, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.files[path.Clean(name)]
	if f == nil {
		return nil, fs.ErrNotExist
	}
	return f, nil
}

func (d *memDisk) Create(name string) (file, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, err := d.op(); err != nil {
		return nil, err
	}
	f := &memFile{d: d}
	d.files[path.Clean(name)] = f
	return f, nil
}

func (d *memDisk) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, err := d.op(); err != nil {
		return err
	}
	delete(d.dirs, path.Clean(name))
	delete(d.files, path.Clean(name))
	return nil
}

func (d *memDisk) Rename(from, to string) error {
	d.mu.Lock()
	last, err := d.op()
	if err == nil {
		from, to = path.Clean(from), path.Clean(to)
		d.files[to] = d.files[from]
		delete(d.files, from)
	}
	d.mu.Unlock()
	if err != nil || last {
		return errors.Join(err, errPower)
	}
	return d.SyncDir(path.Dir(to))
}

func (d *memDisk) SyncDir(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if last, err := d.op(); err != nil || last {
		return errors.Join(err, errPower)
	}
	prefix := path.Clean(dir) + "/"
	maps.DeleteFunc(d.names, func(n string, _ *memFile) bool { return strings.HasPrefix(n, prefix) })
	for n, f := range d.files {
		if strings.HasPrefix(n, prefix) {
			d.names[n] = f
		}
	}
	return nil
}

func (f *memFile) ReadAt(b []byte, at int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if at >= int64(len(f.data)) {
		return 0, io.EOF
	}
	n := copy(b, f.data[at:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) WriteAt(b []byte, at int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	last, err := f.d.op()
	if err != nil {
		return 0, err
	}
	if grow := at + int64(len(b)) - int64(len(f.data)); grow > 0 && f.d.room > 0 {
		var used int64
		for _, o := range f.d.files {
			used += int64(len(o.data))
		}
		if used+grow > f.d.room {
			return 0, syscall.ENOSPC
		}
	}
	if f.refuse > 0 && f.refuse%2 == 0 {
		b = b[:len(b)*f.refuse/10]
		f.data = overwrite(f.data, at, b)
		f.pending = append(f.pending, memWrite{at, slices.Clone(b)})
		return len(b), syscall.EIO
	}
	f.d.wrote += int64(len(b))
	f.data = overwrite(f.data, at, b)
	f.pending = append(f.pending, memWrite{at, slices.Clone(b)})
	if last {
		return 0, errPower
	}
	return len(b), nil
}

func (f *memFile) Sync() error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.refuse%2 == 1 {
		return syscall.EIO
	}
	last, err := f.d.op()
	if err != nil || last {
		return errors.Join(err, errPower) // cut in it: nothing is certain
	}
	f.durable, f.pending = slices.Clone(f.data), nil
	return nil
}

func (f *memFile) Allocate(size int64) error { return fillZero(f, size) }

func (f *memFile) Close() error { return nil }

var _ disk = (*memDisk)(nil)
