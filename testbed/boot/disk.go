package boot

import (
	_ "embed"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/hawser-iot/hawser/edge-agent/slot"
)

// The disk, in sectors of 512 bytes: two copies of the environment, a file system with the kernel, two slots, and one for what lasts.
const (
	sector     = 512
	envSectors = 16
	envFirst   = 0x100
	envSecond  = 0x110
	kernelAt   = 0x800
	kernelLen  = 48 << 11
	// SlotSize is of each slot, in bytes.
	SlotSize = 24 << 20
	slotLen  = SlotSize / sector
	slotA    = kernelAt + kernelLen
	slotB    = slotA + slotLen
	dataAt   = slotB + slotLen
	dataLen  = 32 << 11
)

// Copies are of the environment on the disk.
var Copies = slot.Copies{Offsets: []int64{envFirst * sector, envSecond * sector}, Size: envSectors * sector}

//go:embed boot.cmd
var bootScript string

// Contents are what a new disk has.
type Contents struct {
	Kernel string            // the file
	A      []byte            // the image in slot A
	B      []byte            // the image in slot B
	Data   map[string][]byte // files of the file system that lasts
}

// WriteDisk makes a disk at path whose environment starts slot A, and then B.
func WriteDisk(path string, c Contents) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate((dataAt + dataLen) * sector); err != nil {
		return err
	}
	env, err := slot.EncodeUBoot(slot.Variables{
		{Name: "BOOT_ORDER", Value: "A B"}, {Name: "BOOT_A_LEFT", Value: "3"}, {Name: "BOOT_B_LEFT", Value: "3"},
	}, Copies.Size, true, 0)
	if err != nil {
		return err
	}
	script, err := compileScript(filepath.Dir(path))
	if err != nil {
		return err
	}
	kernel, err := os.ReadFile(c.Kernel)
	if err != nil {
		return err
	}
	boot, err := fileSystem(filepath.Dir(path), kernelLen*sector, map[string][]byte{"boot.scr": script, "vmlinuz": kernel})
	if err != nil {
		return err
	}
	data, err := fileSystem(filepath.Dir(path), dataLen*sector, c.Data)
	if err != nil {
		return err
	}
	for at, b := range map[int64][]byte{
		0: partitions(), envFirst: env, envSecond: env, kernelAt: boot, slotA: c.A, slotB: c.B, dataAt: data,
	} {
		if (at == slotA || at == slotB) && len(b) > SlotSize {
			return fmt.Errorf("an image of %d bytes in a slot of %d", len(b), SlotSize)
		}
		if _, err := f.WriteAt(b, at*sector); err != nil {
			return err
		}
	}
	return f.Sync()
}

// partitions is a master boot record.
func partitions() []byte {
	b := make([]byte, sector)
	for i, p := range [][2]uint32{{kernelAt, kernelLen}, {slotA, slotLen}, {slotB, slotLen}, {dataAt, dataLen}} {
		e := b[446+16*i:]
		e[4] = 0x83
		binary.LittleEndian.PutUint32(e[8:], p[0])
		binary.LittleEndian.PutUint32(e[12:], p[1])
	}
	b[446] = 0x80 // where U-Boot looks for boot.scr
	b[510], b[511] = 0x55, 0xaa
	return b
}

// compileScript makes boot.scr.
func compileScript(dir string) ([]byte, error) {
	text := strings.NewReplacer("@A@", fmt.Sprintf("%x", slotA), "@B@", fmt.Sprintf("%x", slotB),
		"@SECTORS@", fmt.Sprintf("%x", slotLen), "@BYTES@", fmt.Sprintf("%x", SlotSize)).Replace(bootScript)
	in, out := filepath.Join(dir, "boot.cmd"), filepath.Join(dir, "boot.scr")
	if err := os.WriteFile(in, []byte(text), 0o600); err != nil {
		return nil, err
	}
	if b, err := exec.Command("mkimage", "-A", "arm64", "-T", "script", "-C", "none", "-d", in, out).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("mkimage: %w: %s", err, b)
	}
	return os.ReadFile(out)
}

// fileSystem is an ext4 of size bytes with files in it.
func fileSystem(dir string, size int64, files map[string][]byte) ([]byte, error) {
	root, err := os.MkdirTemp(dir, "fs")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(root)
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(root, name), b, 0o700); err != nil {
			return nil, err
		}
	}
	path := root + ".ext4"
	defer os.Remove(path)
	cmd := exec.Command("mkfs.ext4", "-q", "-O", "^metadata_csum,^64bit", "-d", root, path, fmt.Sprintf("%dk", size>>10))
	cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	if b, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("mkfs.ext4: %w: %s", err, b)
	}
	return os.ReadFile(path)
}
