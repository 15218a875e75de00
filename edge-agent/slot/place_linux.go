package slot

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"unsafe"
)

// mtdMajor is of MTD character devices.
const mtdMajor = 90

// OpenPlace opens a file, a block device or an MTD character device for reading and writing. It makes none.
func OpenPlace(path string) (Place, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close() // it was only looked at
		return nil, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || info.Mode()&os.ModeCharDevice == 0 || st.Rdev>>8&0xfff != mtdMajor {
		return f, nil
	}
	m := &mtd{File: f}
	if err := m.ioctl(memGetInfo(), unsafe.Pointer(&m.info)); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

// mtd is an MTD character device.
type mtd struct {
	*os.File
	info mtdInfo
}

// mtdInfo is struct mtd_info_user.
type mtdInfo struct {
	Type                                 byte
	Flags, Size, EraseSize, WriteSize, _ uint32
	_                                    uint64
}

const typeNOR = 3

// Boolean implements eraser.
func (m *mtd) Boolean() bool { return m.info.Type == typeNOR }

// Block implements eraser.
func (m *mtd) Block() int64 { return int64(m.info.EraseSize) }

// Erase implements eraser.
func (m *mtd) Erase(off, n int64) error {
	block := m.Block()
	if block == 0 || off%block != 0 {
		return fmt.Errorf("the copy at %d does not begin with an erase block of %d bytes", off, block)
	}
	area := [2]uint32{uint32(off), uint32((n + block - 1) / block * block)}
	return m.ioctl(memErase(), unsafe.Pointer(&area))
}

// Sync implements Place: what is written to MTD is there.
func (m *mtd) Sync() error { return nil }

func (m *mtd) ioctl(request uintptr, arg unsafe.Pointer) error {
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, m.Fd(), request, uintptr(arg)); errno != 0 {
		return errno
	}
	return nil
}

// MEMGETINFO is _IOR('M', 1, struct mtd_info_user), MEMERASE is _IOW('M', 2, struct erase_info_user). MIPS counts directions in its own way.
func memGetInfo() uintptr { return ioc(2, 1, unsafe.Sizeof(mtdInfo{})) }
func memErase() uintptr   { return ioc(1, 2, 8) }

func ioc(direction, number, size uintptr) uintptr {
	if strings.HasPrefix(runtime.GOARCH, "mips") {
		return map[uintptr]uintptr{1: 4, 2: 2}[direction]<<29 | size<<16 | 'M'<<8 | number
	}
	return direction<<30 | size<<16 | 'M'<<8 | number
}
