package agents

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// SizesFile is the record of sizes, from the module's root.
const SizesFile = "docs/agent-sizes.txt"

// What a program may have: in all, on the smallest gateways (mipsle softfloat), and more than on record. The aim of the core agent is 9 MiB.
const (
	MaxCore    = 9<<20 + 768<<10
	MaxGateway = 12 << 20
	MaxGrowth  = 100 << 10
	smallest   = "linux-mipsle-softfloat"
)

// Sizes are the bytes of each program, by its FileName.
type Sizes map[string]int64

// ReadSizes reads the record of what is in a file.
func ReadSizes(path string) (Sizes, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s := Sizes{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if line := lines.Text(); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		var name string
		var bytes int64
		if _, err := fmt.Sscan(lines.Text(), &name, &bytes); err != nil {
			return nil, fmt.Errorf("%s: %q: %w", path, lines.Text(), err)
		}
		s[name] = bytes
	}
	return s, lines.Err()
}

// Write writes the record.
func (s Sizes) Write(w io.Writer) error {
	if _, err := fmt.Fprint(w, "# The agent's programs and their bytes, by make agent-sizes. make test fails when one has 100 KiB more than here.\n"); err != nil {
		return err
	}
	var names []string
	for name := range s {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if _, err := fmt.Fprintf(w, "%-44s %d\n", name, s[name]); err != nil {
			return err
		}
	}
	return nil
}

// Judge says what is wrong with the size of a program.
func (s Sizes) Judge(t Target, variant string, bytes int64) error {
	name := FileName(t, variant)
	limit := int64(MaxGateway)
	if variant == "core" {
		limit = MaxCore
	}
	switch was, ok := s[name]; {
	case !ok:
		return fmt.Errorf("%s is not in %s: make agent-sizes", name, SizesFile)
	case bytes > was+MaxGrowth:
		return fmt.Errorf("%s has %d bytes, %d KiB more than in %s: make it smaller, or record it with make agent-sizes", name, bytes, (bytes-was)>>10, SizesFile)
	case t.Name() == smallest && bytes > limit:
		return fmt.Errorf("%s has %d bytes, more than %d", name, bytes, limit)
	}
	return nil
}
