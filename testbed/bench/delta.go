package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/hawser-iot/hawser/testbed/harness"
)

// differ is a program that makes an update and one that applies it.
type differ struct {
	name        string
	make, apply func(file, out string) []string
}

// cost is what the kernel says that a process took.
type cost struct {
	seconds float64 // of CPU
	peak    float64 // MiB of memory
}

// updates compares what an update of a root file system costs: bytes to download, and CPU and memory to make and to apply it, with ours and
// its peers. The RESULT is against zstd --patch-from.
func updates(e *env) {
	old, new := referenceImages(e)
	dir := e.TempDir()
	ctl, applier := filepath.Join(dir, "hawserctl"), filepath.Join(dir, "applier")
	must(e, harness.Build(e, ctl, "hawserctl"))
	must(e, harness.Build(e, applier, "../testbed/applier"))
	index, full := filepath.Join(dir, "index"), filepath.Join(dir, "full")
	measure(e, ctl, "firmware", "index", new, "--out", index)
	measure(e, ctl, "firmware", "pack", new, "--out", full)
	long := "--long=27" // the window of the whole image
	all := []differ{
		{"hawser delta pack", func(f, _ string) []string { return []string{ctl, "firmware", "diff", old, new, "--out", f} },
			func(f, out string) []string { return []string{applier, old, index, f, full, out} }},
		{"zstd -19 --patch-from", func(f, _ string) []string {
			return []string{"zstd", "-q", "-19", long, "--patch-from=" + old, new, "-o", f}
		}, func(f, out string) []string {
			return []string{"zstd", "-q", "-d", long, "--patch-from=" + old, f, "-o", out}
		}},
		{"xdelta3 -9", func(f, _ string) []string { return []string{"xdelta3", "-e", "-9", "-s", old, new, f} },
			func(f, out string) []string { return []string{"xdelta3", "-d", "-s", old, f, out} }},
		{"bsdiff", func(f, _ string) []string { return []string{"bsdiff", old, new, f} },
			func(f, out string) []string { return []string{"bspatch", old, out, f} }},
		{"zstd -19, the whole", func(f, _ string) []string { return []string{"zstd", "-q", "-19", long, new, "-o", f} },
			func(f, out string) []string { return []string{"zstd", "-q", "-d", long, f, "-o", out} }},
	}
	fmt.Printf("%-22s %14s %12s %12s %12s %12s\n", "", "bytes", "make CPU s", "make MiB", "apply CPU s", "apply MiB")
	sizes, peaks := map[string]float64{}, map[string]float64{}
	for _, d := range all {
		sizes[d.name], peaks[d.name] = d.run(e, new, filepath.Join(dir, strings.ReplaceAll(d.name, " ", "-")))
	}
	ours, zstd, bsdiff := all[0].name, all[1].name, all[3].name
	fmt.Printf("%-22s %14.0f (full pack)\n", "", size(e, full))
	fmt.Printf("beside bsdiff: %.2f of the bytes, 1/%.1f of the memory\n", sizes[ours]/sizes[bsdiff], peaks[bsdiff]/peaks[ours])
	result("delta", series{sizes[ours]}, series{sizes[zstd]}, "bytes")
}

// run makes and applies an update, prints a line, and returns how long it is and what applying it took at most.
func (d *differ) run(e *env, new, file string) (bytes, peak float64) {
	made := measure(e, d.make(file, "")...)
	var seconds, peaks series
	for range e.rounds {
		out := file + ".out"
		c := measure(e, d.apply(file, out)...)
		seconds, peaks = append(seconds, c.seconds), append(peaks, c.peak)
		sameFiles(e, out, new)
		must(e, os.Remove(out))
	}
	bytes = size(e, file)
	fmt.Printf("%-22s %14.0f %12.1f %12.1f %12.2f %12.1f\n", d.name, bytes, made.seconds, made.peak, seconds.median(), peaks.median())
	return bytes, peaks.median()
}

// measure runs a program below time(1): a process that bench starts itself would be charged bench's own memory.
func measure(e *env, args ...string) cost {
	report := filepath.Join(e.TempDir(), "time")
	cmd := exec.Command("/usr/bin/time", append([]string{"-o", report, "-f", "%U %S %M"}, args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		e.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	b, err := os.ReadFile(report)
	must(e, err)
	var user, system, kib float64
	if _, err := fmt.Sscan(string(b), &user, &system, &kib); err != nil {
		e.Fatalf("time says %q: %v", b, err)
	}
	return cost{user + system, kib / 1024}
}

func size(e *env, file string) float64 {
	info, err := os.Stat(file)
	must(e, err)
	return float64(info.Size())
}

func sameFiles(e *env, a, b string) {
	x, err := os.ReadFile(a)
	must(e, err)
	y, err := os.ReadFile(b)
	must(e, err)
	same := bytes.Equal(x, y)
	x, y = nil, nil
	runtime.GC() // the next program wants the memory
	if !same {
		e.Fatalf("%s is not %s", a, b)
	}
}
