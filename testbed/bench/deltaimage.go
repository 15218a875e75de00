package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hawser-iot/hawser/firmware/imagetest"
	"github.com/hawser-iot/hawser/testbed/harness"
)

// The reference update is a Debian root file system, as uncompressed squashfs: the packages of base at their newest versions, those of updated
// at the last but one and at the newest version that apt offers, and the agent, built twice with a small change. Quick runs have
// no base.
var (
	updated = []string{"libssl3", "openssl", "libglib2.0-0"}
	base    = []string{"base-files", "bash", "busybox", "ca-certificates", "coreutils", "curl", "dash", "dbus", "e2fsprogs", "iproute2", "iptables", "kmod",
		"libblkid1", "libc-bin", "libc6", "libcurl4", "libmount1", "libnftables1", "libpcre2-8-0", "libselinux1", "libstdc++6", "libsystemd0", "nftables",
		"openssh-client", "openssh-server", "perl-base", "systemd", "util-linux", "zlib1g"}
)

// referenceImages makes the two images; for a smoke run two small ones without Debian.
func referenceImages(e *env) (old, new string) {
	dir := e.TempDir()
	old, new = filepath.Join(dir, "old"), filepath.Join(dir, "new")
	if e.smoke {
		b := imagetest.Stream("bench", 1<<20)
		must(e, os.WriteFile(old, b, 0o600))
		for i := 100_000; i < 300_000; i += 501 {
			b[i]++
		}
		must(e, os.WriteFile(new, slices.Concat(b[:500_000], []byte("an insertion"), b[500_000:]), 0o600))
		return old, new
	}
	var names []string
	if e.full {
		names = base
	}
	for i, image := range []string{old, new} {
		root := filepath.Join(dir, "root", filepath.Base(image))
		must(e, os.MkdirAll(filepath.Join(root, "usr/bin"), 0o755))
		packages := slices.Clone(names)
		for _, name := range updated {
			packages = append(packages, name+"="+versions(e, name)[1-i])
		}
		fmt.Printf("%s image: %s\n", filepath.Base(image), strings.Join(packages[len(names):], " "))
		unpack(e, root, packages)
		buildAgent(e, filepath.Join(root, "usr/bin/hawser-agent"), i)
		for _, name := range []string{"usr/share/doc", "usr/share/man", "usr/share/locale"} {
			must(e, os.RemoveAll(filepath.Join(root, name)))
		}
		command(e, dir, "mksquashfs", root, image, "-noappend", "-noI", "-noD", "-noF", "-noX", "-no-xattrs", "-all-root", "-all-time", "0", "-mkfs-time", "0", "-quiet", "-no-progress")
		fmt.Printf("%s image: %.1f MiB\n", filepath.Base(image), size(e, image)/(1<<20))
	}
	return old, new
}

// versions are those that apt offers of a package, the newest first; two at least.
func versions(e *env, name string) []string {
	var out []string
	for line := range strings.Lines(command(e, "", "apt-cache", "madison", name)) {
		if f := strings.Split(line, "|"); len(f) > 1 && !slices.Contains(out, strings.TrimSpace(f[1])) {
			out = append(out, strings.TrimSpace(f[1]))
		}
	}
	if len(out) < 2 {
		e.Fatalf("apt offers %v of %s, and two versions are needed: apt-get update on Debian 12 with its security updates has them", out, name)
	}
	return out
}

func unpack(e *env, root string, packages []string) {
	debs := e.TempDir()
	command(e, debs, "apt-get", append([]string{"download", "-qq"}, packages...)...)
	files, err := filepath.Glob(filepath.Join(debs, "*.deb"))
	must(e, err)
	if len(files) != len(packages) {
		e.Fatalf("apt has downloaded %d of %d packages", len(files), len(packages))
	}
	for _, f := range files {
		command(e, "", "dpkg-deb", "-x", f, root)
	}
}

// change is what the second agent has more than the first, in the middle of its code.
const change = `package buffer

import "strings"

// Changed is what a small change adds.
var Changed = changed("one two three")

func changed(s string) int { return len(strings.Fields(s)) }
`

func buildAgent(e *env, out string, revision int) {
	dir := e.TempDir()
	overlay := map[string]map[string]string{"Replace": {}}
	if revision > 0 {
		file := filepath.Join(dir, "change.go")
		must(e, os.WriteFile(file, []byte(change), 0o600))
		overlay["Replace"][filepath.Join(harness.Root(e), "edge-agent/buffer/change.go")] = file
	}
	b, err := json.Marshal(overlay)
	must(e, err)
	name := filepath.Join(dir, "overlay.json")
	must(e, os.WriteFile(name, b, 0o600))
	cmd := exec.Command("go", "build", "-trimpath", "-overlay", name, "-ldflags", fmt.Sprintf("-s -w -X main.version=v1.0.%d", revision), "-o", out, "./cmd/agent")
	cmd.Dir, cmd.Env = harness.Root(e), append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		e.Fatalf("build the agent: %v\n%s", err, out)
	}
}

func command(e *env, dir, name string, args ...string) string {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		e.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, errs.String())
	}
	return string(out)
}
