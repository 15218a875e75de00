package journal_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hawser-iot/hawser/edge-agent/journal"
)

func texts(lines []journal.Line) string {
	var b strings.Builder
	for _, l := range lines {
		fmt.Fprintf(&b, "%d:%s ", l.Seq, l.Text)
	}
	return b.String()
}

func TestAfter(t *testing.T) {
	var w bytes.Buffer
	j := journal.New(&w)
	for _, s := range []string{"a", "b", "c"} {
		if n, err := fmt.Fprintln(j, s); n != 2 || err != nil {
			t.Errorf("wrote %d, %v", n, err)
		}
	}
	if w.String() != "a\nb\nc\n" {
		t.Errorf("passed on %q", w.String())
	}
	for _, tt := range []struct {
		seq  uint64
		n    int
		want string
	}{
		{0, 10, "1:a 2:b 3:c "}, {0, 2, "2:b 3:c "}, {1, 10, "2:b 3:c "}, {2, 1, "3:c "}, {3, 10, ""}, {9, 10, ""}, {0, 0, ""},
	} {
		if got := texts(j.After(tt.seq, tt.n)); got != tt.want {
			t.Errorf("After(%d, %d) = %q, want %q", tt.seq, tt.n, got, tt.want)
		}
	}
}

func TestBounds(t *testing.T) {
	j := journal.New(&bytes.Buffer{})
	for i := range 3000 {
		fmt.Fprintln(j, i)
	}
	lines := j.After(0, 5000)
	if len(lines) != 1000 || lines[0].Text != "2000" || lines[999].Seq != 3000 {
		t.Errorf("%d lines, from %+v", len(lines), lines[0])
	}
	for range 100 {
		fmt.Fprintln(j, strings.Repeat("x", 10<<10))
	}
	total := 0
	for _, l := range j.After(0, 5000) {
		total += len(l.Text)
	}
	if total > 128<<10 || total < 100<<10 {
		t.Errorf("%d bytes are kept", total)
	}
}

func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := journal.New(&bytes.Buffer{})
		go func() {
			time.Sleep(time.Second)
			fmt.Fprintln(j, "late")
		}()
		if got := texts(j.Wait(t.Context(), 0, 10)); got != "1:late " {
			t.Errorf("Wait = %q", got)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if got := j.Wait(ctx, 1, 10); got != nil {
			t.Errorf("Wait returned %v", got)
		}
	})
}
