package update

import (
	"context"
	"errors"
	"io"

	"github.com/hawser-iot/hawser/firmware/manifest"
)

// Link is the connection to the hub, as far as an Updater needs it. device.Device.Firmware returns one.
type Link interface {
	// Send publishes a message on ota/upstream with QoS 1 and returns when the hub has acknowledged it. It waits for a connection until
	// ctx ends; a message may arrive twice.
	Send(ctx context.Context, payload []byte) error
	// Receive has the messages of ota/downstream handled by f, one at a time. It is called once, before the connection is made. f returns soon,
	// and does not keep payload.
	Receive(f func(ctx context.Context, payload []byte)) error
	// OnUp has f called after every login, in a goroutine of its own, with a ctx that ends with the connection. It is called once.
	OnUp(f func(ctx context.Context))
	// WaitConnected returns nil as soon as the hub has accepted a login.
	WaitConnected(ctx context.Context) error
}

// Store keeps a few small records through power cuts.
type Store interface {
	// Load returns the record that was saved last under a name, nil if none ever was. A record that was there and is damaged is an error.
	Load(name string) ([]byte, error)
	// Save replaces a record. When it returns, the new one survives a power cut; when the power is cut before, either the old or the new
	// one is there, whole. Records have up to 128 KiB. It is called a few times an update, and at most once a minute while one is downloaded.
	Save(name string, record []byte) error
}

// Storage is where the images of the modules are.
type Storage interface {
	// Base opens the image of a module that runs now, for reading: ErrNoBase when it is not at hand, then all is downloaded. It may hold anything;
	// what does not fit is downloaded.
	Base(module string) (Base, error)
	// Target opens the place for the next image of a module, which has size bytes: the other slot, or a file. What is there stays as it is: an
	// update that was cut off goes on in it. An error with the class SPACE makes the update wait, any other ends it (FLASH_IO if it has no class).
	Target(module string, size int64) (Target, error)
}

// Base is an image that runs.
type Base interface {
	io.ReaderAt
	io.Closer
	// Size is how many bytes the image has. It may be more, when only the size of the slot is known.
	Size() int64
}

// Target is where an image is written, a chunk after the other, and read back. ReadAt returns what is on the medium as far as that can be had.
type Target interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Sync returns when what was written survives a power cut.
	Sync() error
}

// ErrNoBase is returned by Storage.Base for a module whose running image is not at hand.
var ErrNoBase = errors.New("update: no base image")

// Installer is the boot loader's switch between the slot that runs and the one that is written to. An Updater calls it from one goroutine,
// and may call each method again after a power cut: each does nothing when what it is to bring about is so.
type Installer interface {
	// Boot tells what runs, and what the next start will do.
	Boot(ctx context.Context) (Boot, error)
	// Clear sees to it that no start will try the target, until Arm. It is called before the first byte is written to it.
	Clear(ctx context.Context) error
	// Arm makes the next start try what was staged, all modules of the release at once, and with one write: before it the old slot starts, after it
	// the new one.
	Arm(ctx context.Context, r Release) error
	// Restart starts the device, or the program, anew. It may return before that happens; Run then waits for the end of its ctx.
	Restart(ctx context.Context) error
	// Confirm makes what runs on trial what starts from now on.
	Confirm(ctx context.Context) error
	// Revert makes the slot before the trial what starts from now on. It is called on trial, and followed by Restart.
	Revert(ctx context.Context) error
}

// Boot is what an Installer knows about this start and the next one.
type Boot struct {
	// Slot names what runs. It is another one after a start into the target, and the same as before when the boot loader has fallen back.
	Slot string
	// Confirmed tells that this slot starts from now on. A slot on trial is not.
	Confirmed bool
	// Armed tells that the next start tries the target.
	Armed bool
	// TriesLeft is how often the boot loader will still try what is on trial or armed.
	TriesLeft uint64
}

// Release is what is being installed, for those who arm it or agree to it.
type Release struct {
	// Digest is that of the manifest, zero for firmware without one.
	Digest   manifest.Digest
	Sequence uint64
	Images   []Image
	// Consent tells that the hub wants the owner to agree.
	Consent bool
}

// Image is one image of a Release.
type Image struct {
	Module, Version, Description string
	// Payload is zero in its digest for firmware without a manifest.
	manifest.Payload
}

// Size is that of all images.
func (r Release) Size() (n int64) {
	for _, i := range r.Images {
		n += int64(i.Size)
	}
	return n
}

// Module is a part of the device that has a firmware of its own, as it left the factory. What is installed later is remembered.
type Module struct {
	Vendor, Class manifest.UUID
	Version       string
	// Image is the running image's digest and size, if they are known: the Updater otherwise reads Storage.Base once to find them.
	Image manifest.Payload
}
