package imagetest

import (
	"errors"
	"io"
	"sync"
)

// ErrPowerCut is what a Disk returns from the operation at which its power is cut on.
var ErrPowerCut = errors.New("imagetest: power cut")

// sector is what a disk writes whole or not at all.
const sector = 512

// Power is what several disks hang on: when it is cut, it is cut for all.
type Power struct {
	mu    sync.Mutex // guards the fields below
	cutAt int
	ops   int
	off   bool
	gone  chan struct{}
}

// NewPower returns a Power that is cut at an operation (a write or a sync of any of its disks, from 1); 0 is never.
func NewPower(cutAt int) *Power { return &Power{cutAt: cutAt, gone: make(chan struct{})} }

// Gone is closed when the power is cut.
func (p *Power) Gone() <-chan struct{} { return p.gone }

// Ops is how many writes and syncs there were.
func (p *Power) Ops() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ops
}

// Off tells whether the power is cut.
func (p *Power) Off() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.off
}

// operate counts an operation and tells whether it is the one at which the power is cut.
func (p *Power) operate() (cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ops++; p.ops == p.cutAt {
		p.off = true
		close(p.gone)
	}
	return p.off
}

// Disk is a target in memory whose power is cut at an operation: of a write only the first sectors reach the disk, and of
// what was written since the last Sync only some does.
type Disk struct {
	// CutAt is the operation (a write or a sync, from 1) at which the power is cut; 0 is never.
	CutAt int
	// Check, unless it is nil, is asked about each write before it is made.
	Check func(b []byte, off int64) error

	mu       sync.Mutex // guards the fields below
	power    *Power     // what the disk hangs on beside others, if it does
	cache    []byte     // what a reader sees
	stable   []byte     // what survives a power cut
	unsynced [][2]int64
	ops      int
	off      bool
}

// NewDisk returns a Disk of n bytes.
func NewDisk(n int64) *Disk { return &Disk{cache: make([]byte, n), stable: make([]byte, n)} }

// Plug hangs the disk on a power, with others: CutAt is of no interest then. A disk whose power was cut is restarted.
func (d *Disk) Plug(p *Power) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.offLocked() {
		d.restartLocked()
	}
	d.power = p
}

// Bytes is what is on the disk.
func (d *Disk) Bytes() []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]byte(nil), d.cache...)
}

// Ops is how many writes and syncs there were.
func (d *Disk) Ops() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ops
}

// ReadAt reads what was written.
func (d *Disk) ReadAt(b []byte, off int64) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.offLocked() {
		return 0, ErrPowerCut
	}
	if off >= int64(len(d.cache)) {
		return 0, io.EOF
	}
	n := copy(b, d.cache[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt writes, unless the power is cut.
func (d *Disk) WriteAt(b []byte, off int64) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.offLocked() {
		return 0, ErrPowerCut
	}
	if d.Check != nil {
		if err := d.Check(b, off); err != nil {
			return 0, err
		}
	}
	if d.operateLocked() {
		torn := len(b) / 2 / sector * sector
		copy(d.stable[off:], b[:torn])
		d.dropLocked()
		return torn, ErrPowerCut
	}
	copy(d.cache[off:], b)
	d.unsynced = append(d.unsynced, [2]int64{off, int64(len(b))})
	return len(b), nil
}

func (d *Disk) offLocked() bool { return d.off || d.power != nil && d.power.Off() }

// operateLocked counts an operation and tells whether the power is cut at it.
func (d *Disk) operateLocked() bool {
	d.ops++
	if d.power != nil {
		d.off = d.power.operate()
	} else if d.ops == d.CutAt {
		d.off = true
	}
	return d.off
}

// dropLocked loses every other write since the last Sync.
func (d *Disk) dropLocked() {
	for i, w := range d.unsynced {
		if i%2 == 1 {
			copy(d.stable[w[0]:w[0]+w[1]], d.cache[w[0]:w[0]+w[1]])
		}
	}
	d.unsynced = nil
}

// Sync makes what was written last.
func (d *Disk) Sync() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.offLocked() {
		return ErrPowerCut
	}
	if d.operateLocked() {
		d.dropLocked()
		return ErrPowerCut
	}
	copy(d.stable, d.cache)
	d.unsynced = nil
	return nil
}

// Restart turns the power on again.
func (d *Disk) Restart() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.restartLocked()
}

// restartLocked loses in part what was not synced, also when the power was cut at an operation of another disk.
func (d *Disk) restartLocked() {
	d.dropLocked()
	copy(d.cache, d.stable)
	d.off, d.CutAt, d.unsynced = false, 0, nil
}
