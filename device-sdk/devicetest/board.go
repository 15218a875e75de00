package devicetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/hawser-iot/hawser/device-sdk/update"
	"github.com/hawser-iot/hawser/firmware/failure"
	"github.com/hawser-iot/hawser/firmware/imagetest"
)

// Board is a device with two slots and a boot loader in memory, for package update: its storage, its installer and its store. Its power can be
// cut at any write. It begins in slot A.
type Board struct {
	size int64
	env  *update.Files

	// mu guards the fields below.
	mu       sync.Mutex
	power    *imagetest.Power
	disks    map[string]*imagetest.Disk // slots by slot and module, records by file, the boot loader's own
	bootable [][]byte                   // programs
	running  string
	restarts chan struct{}
	broken   error // why the boot loader's state can't be read or written
}

var (
	_ update.Storage   = (*Board)(nil)
	_ update.Installer = (*Board)(nil)
)

// recordRoom is how long a record may be.
const recordRoom = 64 << 10

// NewBoard returns a board with slots of size bytes for each module of images, which are in slot A. It is started.
func NewBoard(size int64, images map[string][]byte) (*Board, error) {
	b := &Board{size: size, disks: map[string]*imagetest.Disk{}}
	b.power = imagetest.NewPower(0)
	for name, img := range images {
		for _, slot := range []string{"A", "B"} {
			b.disk(slot+"/"+name, size)
		}
		disk := b.disk("A/"+name, size)
		if _, err := disk.WriteAt(img, 0); err != nil {
			return nil, err
		}
		if err := disk.Sync(); err != nil {
			return nil, err
		}
		b.Bootable(img)
	}
	b.env = b.files()
	if err := b.env.Save("env", []byte("A")); err != nil {
		return nil, err
	}
	return b, b.PowerOn(0)
}

// disk is the disk of a name, which is made if there is none and size is not 0.
func (b *Board) disk(name string, size int64) *imagetest.Disk {
	b.mu.Lock()
	defer b.mu.Unlock()
	d := b.disks[name]
	if d == nil && size > 0 {
		d = imagetest.NewDisk(size)
		d.Plug(b.power)
		b.disks[name] = d
	}
	return d
}

// plug hangs all disks on a power.
func (b *Board) plug(p *imagetest.Power) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, d := range b.disks {
		d.Plug(p)
	}
	b.power = p
}

type recordDisk struct{ *imagetest.Disk }

func (recordDisk) Close() error { return nil }

func (b *Board) files() *update.Files {
	return update.NewFiles(func(name string) (update.RecordFile, error) { return recordDisk{b.disk(name, recordRoom)}, nil })
}

// Store is where an Updater keeps its records.
func (b *Board) Store() update.Store { return b.files() }

// Bootable makes the boot loader able to start slots that hold this image; what it does not know is a program that crashes at once.
func (b *Board) Bootable(image []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bootable = append(b.bootable, image)
}

// Power is what the board hangs on now.
func (b *Board) Power() *imagetest.Power {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.power
}

// Restarted is closed when Restart is called.
func (b *Board) Restarted() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.restarts
}

// Running is the slot that runs.
func (b *Board) Running() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.running
}

// Slot is what a module's slot holds.
func (b *Board) Slot(slot, module string) []byte { return b.disk(slot+"/"+module, 0).Bytes() }

// ErrBricked is returned by PowerOn when the boot loader finds nothing to start.
var ErrBricked = errors.New("devicetest: no slot can be started")

// PowerOn starts the board, whatever it did before: the boot loader tries the slot on trial while it has tries, else the one that is
// confirmed. The power is cut at the operation cutAt from then on, 0 is never.
func (b *Board) PowerOn(cutAt int) error {
	b.plug(imagetest.NewPower(0))
	slot, err := b.boot()
	if err != nil {
		return err
	}
	b.plug(imagetest.NewPower(cutAt))
	b.mu.Lock()
	defer b.mu.Unlock()
	b.running, b.restarts, b.broken = slot, make(chan struct{}), nil
	return nil
}

// env is the boot loader's state: the slot that is confirmed, the one that is tried, how often still.
type env struct {
	confirmed, try string
	tries          int
}

const tries = 3

func (b *Board) load() (e env, err error) {
	b.mu.Lock()
	err = b.broken
	b.mu.Unlock()
	if err != nil {
		return e, err
	}
	text, err := b.env.Load("env")
	if err == nil {
		_, err = fmt.Sscanf(string(text)+" - 0", "%s %s %d", &e.confirmed, &e.try, &e.tries)
	}
	return e, err
}

func (b *Board) save(e env) error {
	b.mu.Lock()
	err := b.broken
	b.mu.Unlock()
	if err != nil {
		return err
	}
	if e.try == "" {
		e.try = "-"
	}
	return b.env.Save("env", fmt.Appendf(nil, "%s %s %d", e.confirmed, e.try, e.tries))
}

func (b *Board) boot() (string, error) {
	e, err := b.load()
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrBricked, err)
	}
	for e.try != "-" && e.tries > 0 {
		e.tries--
		if err := b.save(e); err != nil {
			return "", err
		}
		if b.starts(e.try) {
			return e.try, nil
		}
	}
	if e.try != "-" {
		e.try, e.tries = "-", 0
		if err := b.save(e); err != nil {
			return "", err
		}
	}
	if !b.starts(e.confirmed) {
		return "", fmt.Errorf("%w: slot %s is confirmed and holds no program", ErrBricked, e.confirmed)
	}
	return e.confirmed, nil
}

// starts tells whether all images of a slot are programs.
func (b *Board) starts(slot string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for name, d := range b.disks {
		if strings.HasPrefix(name, slot+"/") && b.programLocked(d) == nil {
			return false
		}
	}
	return true
}

// programLocked is the program that a slot begins with, nil for none.
func (b *Board) programLocked(d *imagetest.Disk) []byte {
	content := d.Bytes()
	for _, p := range b.bootable {
		if bytes.HasPrefix(content, p) {
			return p
		}
	}
	return nil
}

func other(slot string) string {
	if slot == "A" {
		return "B"
	}
	return "A"
}

// Break makes the boot loader's state unreadable and unwritable until it is called with nil.
func (b *Board) Break(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.broken = err
}

// Base implements update.Storage.
func (b *Board) Base(module string) (update.Base, error) {
	d := b.disk(b.Running()+"/"+module, 0)
	if d == nil {
		return nil, update.ErrNoBase
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return base{io.NewSectionReader(d, 0, int64(len(b.programLocked(d))))}, nil
}

type base struct{ *io.SectionReader }

func (base) Close() error { return nil }

// Target implements update.Storage.
func (b *Board) Target(module string, size int64) (update.Target, error) {
	d := b.disk(other(b.Running())+"/"+module, 0)
	if d == nil || size > b.size {
		return nil, failure.New(failure.Space, "devicetest: no slot of %d bytes for module %s", size, module)
	}
	return target{d}, nil
}

type target struct{ *imagetest.Disk }

func (target) Close() error { return nil }

// Boot implements update.Installer.
func (b *Board) Boot(context.Context) (update.Boot, error) {
	e, err := b.load()
	if err != nil {
		return update.Boot{}, err
	}
	slot := b.Running()
	return update.Boot{Slot: slot, Confirmed: slot == e.confirmed, Armed: e.try == other(slot), TriesLeft: uint64(e.tries)}, nil
}

// change is what all that write have in common.
func (b *Board) change(f func(e *env)) error {
	e, err := b.load()
	if err != nil {
		return err
	}
	before := e
	if f(&e); e == before {
		return nil
	}
	return b.save(e)
}

// Clear implements update.Installer.
func (b *Board) Clear(context.Context) error {
	return b.change(func(e *env) { e.try, e.tries = "-", 0 })
}

// Arm implements update.Installer.
func (b *Board) Arm(_ context.Context, r update.Release) error {
	return b.change(func(e *env) { e.try, e.tries = other(b.Running()), tries })
}

// Restart implements update.Installer: it only says that it is wanted.
func (b *Board) Restart(context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-b.restarts:
	default:
		close(b.restarts)
	}
	return nil
}

// Confirm implements update.Installer.
func (b *Board) Confirm(context.Context) error {
	return b.change(func(e *env) { e.confirmed, e.try, e.tries = b.Running(), "-", 0 })
}

// Revert implements update.Installer.
func (b *Board) Revert(context.Context) error {
	return b.change(func(e *env) { e.try, e.tries = "-", 0 })
}
