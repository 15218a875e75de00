package doctor

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// disk checks that the data folder can be written to and has room.
func (c Config) disk() Finding {
	if _, err := os.Stat(c.Data); err != nil {
		return Finding{"disk", Warn, err.Error(), "it is made at the agent's first start; check data: in the configuration if there was one"}
	}
	f, err := os.CreateTemp(c.Data, ".doctor-*")
	if err == nil {
		_, err = f.Write(make([]byte, 4096))
		for _, e := range []error{f.Sync(), f.Close(), os.Remove(f.Name())} {
			if err == nil {
				err = e
			}
		}
	}
	if err != nil {
		do := "check the owner and the mode of the folder"
		if strings.Contains(err.Error(), "read-only") {
			do = "the file system is read-only: an error of the disk does that (dmesg), or the mount options"
		} else if strings.Contains(err.Error(), "no space") {
			do = "make room: nothing new is accepted until then"
		}
		return Finding{"disk", Fail, err.Error(), do}
	}
	var s syscall.Statfs_t
	if err := syscall.Statfs(c.Data, &s); err != nil {
		return Finding{"disk", Fail, err.Error(), "check the disk (dmesg)"}
	}
	free, total := int64(s.Bavail)*int64(s.Bsize), int64(s.Blocks)*int64(s.Bsize) //nolint:unconvert // their types differ by processor
	detail := fmt.Sprintf("%d of %d MiB free at %s", free>>20, total>>20, c.Data)
	if free < 8<<20 || total > 0 && free < total/50 {
		return Finding{"disk", Warn, detail, "make room, or set buffer.max_bytes lower"}
	}
	return Finding{Check: "disk", State: OK, Detail: detail}
}

// flash reads how worn the flash is, where the kernel knows: eMMC tells itself, UBI counts.
func (c Config) flash() Finding {
	var told []string
	worst := Finding{Check: "flash", State: OK}
	note := func(state State, do, format string, args ...any) {
		told = append(told, fmt.Sprintf(format, args...))
		if state != OK && worst.State != Fail {
			worst.State, worst.Do = state, do
		}
	}
	for _, dir := range glob(c.Sys, "block/mmcblk*/device") {
		c.emmc(dir, note)
	}
	for _, dir := range glob(c.Sys, "class/ubi/ubi*") {
		c.ubi(dir, note)
	}
	if len(told) == 0 {
		return skip("flash", "the kernel tells nothing about wear here")
	}
	worst.Detail = strings.Join(told, "; ")
	return worst
}

func glob(root, pattern string) []string {
	list, _ := filepath.Glob(filepath.Join(root, pattern)) // the pattern is well formed
	return list
}

// emmc reads JEDEC's life time estimates (in steps of 10 %, for both types of memory) and the state of the spare blocks.
func (c Config) emmc(dir string, note func(State, string, string, ...any)) {
	const do = "plan to replace the gateway's flash: it will turn read-only"
	name := filepath.Base(filepath.Dir(dir))
	worn := int64(0)
	for field := range strings.FieldsSeq(read(dir, "life_time")) {
		if n, err := strconv.ParseInt(field, 0, 64); err == nil {
			worn = max(worn, n)
		}
	}
	spare, _ := strconv.ParseInt(read(dir, "pre_eol_info"), 0, 64)
	switch {
	case worn == 0 && spare == 0:
		return // an SD card
	case worn > 10 || spare >= 3:
		note(Fail, do, "%s has exceeded its life time (spare blocks: %d of 3)", name, spare)
	case worn >= 9 || spare == 2:
		note(Warn, do, "%s has used %d0 %% of its life time (spare blocks: %d of 3)", name, worn, spare)
	default:
		note(OK, "", "%s has used at most %d0 %% of its life time", name, worn)
	}
}

func (c Config) ubi(dir string, note func(State, string, string, ...any)) {
	bad, err1 := strconv.Atoi(read(dir, "bad_peb_count"))
	reserved, err2 := strconv.Atoi(read(dir, "reserved_for_bad"))
	if err1 != nil || err2 != nil {
		return // a volume
	}
	name, erased := filepath.Base(dir), read(dir, "max_ec")
	if reserved <= 2 {
		note(Warn, "plan to replace the gateway's flash: it has nearly no blocks to spare", "%s: %d bad blocks, only %d to spare, erased at most %s times", name, bad, reserved, erased)
		return
	}
	note(OK, "", "%s: %d bad blocks, %d to spare, erased at most %s times", name, bad, reserved, erased)
}

func read(dir, name string) string {
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
