package slot

import (
	"runtime"
	"strings"
	"testing"
	"unsafe"
)

// TestMTDRequests: the numbers are those of <mtd/mtd-abi.h>.
func TestMTDRequests(t *testing.T) {
	info, erase := uintptr(0x80204d01), uintptr(0x40084d02)
	if strings.HasPrefix(runtime.GOARCH, "mips") {
		info, erase = 0x40204d01, 0x80084d02
	}
	if memGetInfo() != info || memErase() != erase {
		t.Errorf("MEMGETINFO %#x, MEMERASE %#x; want %#x, %#x", memGetInfo(), memErase(), info, erase)
	}
	var i mtdInfo
	if got := unsafe.Offsetof(i.EraseSize); got != 12 {
		t.Errorf("the size of erase blocks is at %d, want 12", got)
	}
}
