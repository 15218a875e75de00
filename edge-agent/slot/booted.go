package slot

import (
	"fmt"
	"os"
	"strings"
)

// CommandLine returns a function that reads which slot runs from a word of the kernel's command line, such as rauc.slot=A. path is
// /proc/cmdline but for tests.
func CommandLine(path, key string) func() (string, error) {
	return func() (string, error) {
		b, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("%w: %w", ErrNotBooted, err)
		}
		// The last word counts, as for the kernel.
		words := strings.Fields(string(b))
		for i := len(words) - 1; i >= 0; i-- {
			if v, ok := strings.CutPrefix(words[i], key+"="); ok && v != "" {
				return strings.Trim(v, `"`), nil
			}
		}
		return "", fmt.Errorf("%w: %s has no %s=", ErrNotBooted, path, key)
	}
}

// booted asks which slot runs, and checks that it is one.
func booted(ask func() (string, error), n Names) (string, error) {
	name, err := ask()
	if err != nil {
		return "", err
	}
	if err := n.known(name); err != nil {
		return "", fmt.Errorf("%w: %w", ErrNotBooted, err)
	}
	return name, nil
}
