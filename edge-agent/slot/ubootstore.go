package slot

import (
	"errors"
	"fmt"
	"io"
)

// Place is where an environment lies: a file, a block device, MTD.
type Place interface {
	io.ReaderAt
	io.WriterAt
	Sync() error
}

// eraser is a Place that has to be erased before it is written.
type eraser interface {
	Erase(off, n int64) error
	// Block is how much is erased at a time.
	Block() int64
	// Boolean tells whether the flag of a copy is 1 (it counts) or 0, as on NOR flash, and not a number that grows.
	Boolean() bool
}

// Copies says where the copies of an environment are.
type Copies struct {
	// Offsets are of one copy, or of two. With one, a power cut in a write loses the environment.
	Offsets []int64
	// Size is of a copy: CONFIG_ENV_SIZE.
	Size int
	// Boolean: see docs/formats/bootenv.md. NOR flash is known by itself.
	Boolean bool
}

// Check tells what is wrong with c.
func (c Copies) Check() error {
	switch {
	case len(c.Offsets) != 1 && len(c.Offsets) != 2:
		return fmt.Errorf("slot: %d copies of the environment, want 1 or 2", len(c.Offsets))
	case c.Size < 64 || c.Size > MaxEnvironment:
		return fmt.Errorf("slot: an environment of %d bytes, want 64 to %d", c.Size, MaxEnvironment)
	}
	for i, o := range c.Offsets {
		if o < 0 || i == 1 && max(o, c.Offsets[0])-min(o, c.Offsets[0]) < int64(c.Size) {
			return fmt.Errorf("slot: the copies of the environment at %d overlap", c.Offsets)
		}
	}
	return nil
}

// ErrNoEnvironment means that no copy is whole. The boot loader runs with its built-in values then, and it is its own to write the first one (saveenv):
// an environment without bootcmd would stop it.
var ErrNoEnvironment = errors.New("slot: there is no valid environment")

// environment is a U-Boot environment in one or two copies.
type environment struct {
	copies Copies
	place  Place
}

// active is the copy that counts.
type active struct {
	vars Variables
	no   int
	flag byte
}

func (e environment) redundant() bool { return len(e.copies.Offsets) == 2 }

func (e environment) boolean() bool {
	x, ok := e.place.(eraser)
	return e.copies.Boolean || ok && x.Boolean()
}

// read returns the copy that U-Boot takes. One that can't be read counts for nothing, as for U-Boot: on NAND that is what a power cut makes of it.
func (e environment) read() (active, error) {
	var best active
	var found bool
	var errs error
	for no, off := range e.copies.Offsets {
		b := make([]byte, e.copies.Size)
		if n, err := e.place.ReadAt(b, off); n < len(b) {
			errs = errors.Join(errs, fmt.Errorf("read the copy at %d: %w", off, err))
			continue
		}
		v, flag, err := ParseUBoot(b, e.redundant())
		if err != nil {
			errs = errors.Join(errs, fmt.Errorf("copy at %d: %w", off, err))
			continue
		}
		if !found || newer(flag, best.flag) {
			best, found = active{v, no, flag}, true
		}
	}
	if !found {
		return active{}, fmt.Errorf("%w: %w", ErrNoEnvironment, errs)
	}
	return best, nil
}

// newer tells whether a copy with flag a goes before one with b: numbers that grow and begin again behind 255. Values of a boolean compare alike.
func newer(a, b byte) bool {
	if a == 0 && b == 255 {
		return true
	}
	if a == 255 && b == 0 {
		return false
	}
	return a > b
}

// write puts v into the copy that does not count, which then does. With one copy it is overwritten.
func (e environment) write(now active, v Variables) error {
	no, flag := now.no, byte(0)
	if e.redundant() {
		no, flag = 1-now.no, now.flag+1
		if e.boolean() {
			flag = 1
		}
	}
	b, err := EncodeUBoot(v, e.copies.Size, e.redundant(), flag)
	if err != nil {
		return err
	}
	off := e.copies.Offsets[no]
	if x, ok := e.place.(eraser); ok {
		if err := e.apart(x.Block()); err != nil {
			return err
		}
		if err := x.Erase(off, int64(len(b))); err != nil {
			return fmt.Errorf("erase the environment at %d: %w", off, err)
		}
	}
	if err := e.put(b, off); err != nil {
		return err
	}
	if !e.redundant() || !e.boolean() {
		return nil
	}
	// Both count now, and the boot loader takes the first: whichever it is, it is whole.
	return e.put([]byte{0}, e.copies.Offsets[now.no]+crcSize)
}

// apart tells whether one copy can be erased without the other.
func (e environment) apart(block int64) error {
	if !e.redundant() || block <= 0 {
		return nil
	}
	first, second := min(e.copies.Offsets[0], e.copies.Offsets[1]), max(e.copies.Offsets[0], e.copies.Offsets[1])
	if (first+int64(e.copies.Size)-1)/block >= second/block {
		return fmt.Errorf("%w: the copies of the environment at %d share an erase block of %d bytes", ErrInvalid, e.copies.Offsets, block)
	}
	return nil
}

func (e environment) put(b []byte, off int64) error {
	if _, err := e.place.WriteAt(b, off); err != nil {
		return fmt.Errorf("write the environment at %d: %w", off, err)
	}
	if err := e.place.Sync(); err != nil {
		return fmt.Errorf("sync the environment: %w", err)
	}
	return nil
}
