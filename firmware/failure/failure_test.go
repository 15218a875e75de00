package failure_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/hawser-iot/hawser/firmware/failure"
)

func TestOf(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want failure.Class
	}{
		{"nil", nil, failure.Unclassified},
		{"none", io.EOF, failure.Unclassified},
		{"direct", failure.New(failure.Hash, "chunk %d", 7), failure.Hash},
		{"wrapped", fmt.Errorf("fetch: %w", failure.New(failure.Network, "reset")), failure.Network},
		{"outermost", failure.New(failure.Dependency, "base: %w", failure.New(failure.Hash, "chunk")), failure.Dependency},
		{"joined", errors.Join(io.EOF, failure.New(failure.Stale, "old")), failure.Stale},
	}
	for _, tt := range tests {
		if got := failure.Of(tt.err); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
	if err := failure.New(failure.Server, "read: %w", io.ErrUnexpectedEOF); !errors.Is(err, io.ErrUnexpectedEOF) || err.Error() != "read: unexpected EOF" {
		t.Errorf("the reason is lost: %v", err)
	}
}

func TestClassesAreDistinct(t *testing.T) {
	seen := map[failure.Class]bool{failure.Unclassified: true}
	for _, c := range failure.Classes() {
		if seen[c] {
			t.Errorf("%q is there twice, or is empty", c)
		}
		seen[c] = true
	}
	if len(seen) != 19 {
		t.Errorf("%d classes, want 18", len(seen)-1)
	}
}
