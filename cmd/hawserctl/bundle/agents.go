package bundle

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Load reads the agent's program for a target (linux-arm-7) and a variant from a folder that make agents has filled, and holds it to SHA256SUMS.
func Load(dir, target, variant string) ([]byte, error) {
	name := "hawser-agent-" + variant + "-" + target
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return nil, fmt.Errorf("the agent for %s, %s: %w", target, variant, err)
	}
	sums, err := os.ReadFile(filepath.Join(dir, "SHA256SUMS"))
	if err != nil {
		return nil, fmt.Errorf("the agents' checksums: %w", err)
	}
	want := fmt.Sprintf("%x  %s", sha256.Sum256(b), name)
	for line := range strings.Lines(string(sums)) {
		if strings.TrimSpace(line) == want {
			return b, nil
		}
	}
	return nil, fmt.Errorf("%s is not what %s says", filepath.Join(dir, name), filepath.Join(dir, "SHA256SUMS"))
}

// ErrNotProgram is returned by Target for what is no program, or of a processor that there is no agent for.
var ErrNotProgram = errors.New("bundle: no program of a processor that the agent is built for")

// Target says from the beginning of a program of a device, such as of its shell, and from what its kernel says of the machine (uname -m) which agent it
// needs. A kernel of 64 bits may have programs of 32.
func Target(head []byte, machine string) (string, error) {
	if len(head) < 20 || string(head[:4]) != "\x7fELF" {
		return "", fmt.Errorf("%w: it does not begin like one", ErrNotProgram)
	}
	wide, little := head[4] == 2, head[5] == 1
	kind := int(head[18]) | int(head[19])<<8
	if !little {
		kind = int(head[19]) | int(head[18])<<8
	}
	switch {
	case kind == 62:
		return "linux-amd64", nil
	case kind == 3:
		return "linux-386", nil
	case kind == 183 && little:
		return "linux-arm64", nil
	case kind == 40 && little:
		return "linux-arm-" + armVersion(machine), nil
	case kind == 8 && wide && little:
		return "linux-mips64le", nil
	case kind == 8 && !wide && little:
		return "linux-mipsle-softfloat", nil
	case kind == 8 && !wide:
		return "linux-mips-softfloat", nil
	case kind == 243 && wide:
		return "linux-riscv64", nil
	}
	return "", fmt.Errorf("%w: machine %d, %s", ErrNotProgram, kind, machine)
}

// armVersion is the newest whose instructions the machine surely has.
func armVersion(machine string) string {
	switch {
	case strings.HasPrefix(machine, "armv7"), strings.HasPrefix(machine, "armv8"), machine == "aarch64":
		return "7"
	case strings.HasPrefix(machine, "armv6"):
		return "6"
	}
	return "5"
}
