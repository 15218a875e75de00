package boot

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// modules are the kernel's that the guest loads, in this order.
var modules = []string{
	"virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci", "virtio_blk", "failover", "net_failover", "virtio_net",
	"crc16", "mbcache", "crc32c_generic", "jbd2", "ext4", "i6300esb",
}

// File is one of an initial RAM file system.
type File struct {
	Name string
	Mode uint32
	Data []byte
}

// Kernel is where testbed/setup has put the kernel and its modules.
func Kernel() (vmlinuz string, mods map[string]string, err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", nil, err
	}
	dir := filepath.Join(cache, "hawser", "arm64-kernel")
	found, err := filepath.Glob(filepath.Join(dir, "boot", "vmlinuz-*"))
	if err != nil || len(found) == 0 {
		return "", nil, fmt.Errorf("no kernel in %s: make install-test-deps fetches it", dir)
	}
	mods = make(map[string]string)
	err = filepath.WalkDir(filepath.Join(dir, "lib", "modules"), func(path string, d os.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".ko" {
			mods[filepath.Base(path[:len(path)-len(".ko")])] = path
		}
		return err
	})
	return found[0], mods, err
}

// Image makes what goes into a slot: an initial RAM file system with the files and the kernel's modules, a whole number of sectors.
func Image(mods map[string]string, files ...File) ([]byte, error) {
	var list bytes.Buffer
	for _, m := range modules {
		path, ok := mods[m]
		if !ok {
			continue // built in
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		files = append(files, File{m + ".ko", 0o644, b})
		fmt.Fprintln(&list, m+".ko")
	}
	files = append(files, File{"modules", 0o644, list.Bytes()})
	for _, d := range []string{"dev", "proc", "sys", "data", "tmp"} {
		files = slices.Insert(files, 0, File{d, 0o40755, nil})
	}
	var b bytes.Buffer
	for i, f := range files {
		cpio(&b, f, i+1)
	}
	cpio(&b, File{Name: "TRAILER!!!"}, 0)
	pad(&b, sector)
	return b.Bytes(), nil
}

// cpio writes an entry in the "newc" form.
func cpio(b *bytes.Buffer, f File, inode int) {
	mode := f.Mode
	if mode < 0o10000 && f.Name != "TRAILER!!!" {
		mode |= 0o100000
	}
	b.WriteString("070701")
	for _, v := range []uint32{uint32(inode), mode, 0, 0, 1, 0, uint32(len(f.Data)), 0, 0, 0, 0, uint32(len(f.Name) + 1), 0} {
		fmt.Fprintf(b, "%08X", v)
	}
	b.WriteString(f.Name + "\x00")
	pad(b, 4)
	b.Write(f.Data)
	pad(b, 4)
}

func pad(b *bytes.Buffer, n int) {
	for b.Len()%n != 0 {
		b.WriteByte(0)
	}
}
