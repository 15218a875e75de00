// Package agents builds hawser-agent for every processor of a gateway, in both variants. What it builds is static, and the same bytes on every machine
// with the same toolchain and sources: no path, no user's setting and no time is in it.
package agents

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Target is a processor, as Go names it.
type Target struct {
	Arch  string // GOARCH
	Float string // GOARM or GOMIPS, "" where there is nothing to choose
	QEMU  string // what runs its programs on another processor; "" where Linux on amd64 does
}

// Targets are all that the agent is built for, each with Linux.
var Targets = []Target{
	{"amd64", "", ""},
	{"386", "", ""},
	{"arm64", "", "qemu-aarch64-static"},
	{"arm", "7", "qemu-arm-static"},
	{"arm", "6", "qemu-arm-static"},
	{"arm", "5", "qemu-arm-static"},
	{"mips", "softfloat", "qemu-mips-static"},
	{"mipsle", "softfloat", "qemu-mipsel-static"},
	{"mips64le", "", "qemu-mips64el-static"},
	{"riscv64", "", "qemu-riscv64-static"},
}

// Find returns the target with a Name.
func Find(name string) (Target, error) {
	i := slices.IndexFunc(Targets, func(t Target) bool { return t.Name() == name })
	if i < 0 {
		return Target{}, fmt.Errorf("no target %q", name)
	}
	return Targets[i], nil
}

// Name is such as linux-amd64, linux-arm-7, linux-mipsle-softfloat.
func (t Target) Name() string { return strings.TrimSuffix("linux-"+t.Arch+"-"+t.Float, "-") }

// env is the whole environment of the build: nothing of the caller's changes what comes out.
func (t Target) env() []string {
	env := []string{"CGO_ENABLED=0", "GOFLAGS=", "GOEXPERIMENT=", "GOFIPS140=off", "GOOS=linux", "GOARCH=" + t.Arch}
	switch t.Arch {
	case "amd64":
		env = append(env, "GOAMD64=v1")
	case "386":
		env = append(env, "GO386=sse2")
	case "arm64":
		env = append(env, "GOARM64=v8.0")
	case "arm":
		env = append(env, "GOARM="+t.Float)
	case "mips", "mipsle":
		env = append(env, "GOMIPS="+t.Float)
	case "mips64le":
		env = append(env, "GOMIPS64=hardfloat")
	case "riscv64":
		env = append(env, "GORISCV64=rva20u64")
	}
	return env
}

// Variants are core and gateway: see docs/agent.md.
var Variants = []string{"core", "gateway"}

// FileName is what make agents calls the program.
func FileName(t Target, variant string) string { return "hawser-agent-" + variant + "-" + t.Name() }

// Build makes the agent from the sources in root. version is what it says of itself.
func Build(ctx context.Context, root string, t Target, variant, version, out string) error {
	out, err := filepath.Abs(out)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", append(append([]string{"build"}, flags(t, variant, version)...), "-o", out, "./cmd/agent")...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), t.env()...)
	if b, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", FileName(t, variant), err, b)
	}
	return nil
}

// pages are the largest pages of memory that kernels of a target have, where the linker would assume larger ones: up to as much is saved for each of a
// program's three parts.
var pages = map[string]string{"arm": "4096", "riscv64": "4096", "mips": "16384", "mipsle": "16384"}

// flags are why the program is small: see docs/benchmarks.md for what each is worth.
func flags(t Target, variant, version string) []string {
	tags, link := "nethttpomithttp2", "-s -w -buildid= -X main.version="+version
	if variant == "core" {
		tags += ",core"
	}
	if size := pages[t.Arch]; size != "" {
		link += " -R=" + size
	}
	return []string{
		"-trimpath", "-buildvcs=false", "-tags", tags, "-ldflags", link,
		// Calls are not replaced by what they call: 0.7 MiB less. Where bytes are worked on in bulk they are, which costs 30 KiB.
		"-gcflags=all=-l", "-gcflags=crypto/internal/...=", "-gcflags=vendor/golang.org/x/crypto/...=", "-gcflags=hash/...=", "-gcflags=github.com/klauspost/...=",
	}
}
