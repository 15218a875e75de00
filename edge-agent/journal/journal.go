// Package journal keeps the last lines of the agent's log in memory, so that whoever stands before a gateway sees them without a log service and without
// writes to its flash.
package journal

import (
	"bytes"
	"context"
	"io"
	"sync"
)

// What is kept at most.
const (
	maxLines = 1000
	maxBytes = 128 << 10
	maxLine  = 4 << 10
)

// Line is a line with its number, which rises by one from 1.
type Line struct {
	Seq  uint64 `json:"seq"`
	Text string `json:"text"`
}

// Journal is a writer of whole lines that remembers the last ones.
type Journal struct {
	w io.Writer

	// mu guards the fields below.
	mu    sync.Mutex
	lines []Line
	bytes int
	next  uint64
	more  chan struct{} // closed with the next line
}

// New returns a Journal that passes on what is written to w.
func New(w io.Writer) *Journal { return &Journal{w: w, next: 1, more: make(chan struct{})} }

// Write implements io.Writer: each call is a line, as slog writes them. A line that is too long is remembered without its end.
func (j *Journal) Write(p []byte) (int, error) {
	j.keep(string(bytes.TrimRight(p[:min(len(p), maxLine)], "\n")))
	return j.w.Write(p)
}

func (j *Journal) keep(text string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, Line{j.next, text})
	j.bytes += len(text)
	j.next++
	for len(j.lines) > maxLines || j.bytes > maxBytes {
		j.bytes -= len(j.lines[0].Text)
		j.lines[0].Text = "" // it may stay for a while in the array
		j.lines = j.lines[1:]
	}
	close(j.more)
	j.more = make(chan struct{})
}

// After returns the lines with numbers above seq that are still there, the last n of them.
func (j *Journal) After(seq uint64, n int) []Line {
	lines, _ := j.after(seq, n)
	return lines
}

func (j *Journal) after(seq uint64, n int) ([]Line, <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	lines := j.lines
	if len(lines) > 0 && seq >= lines[0].Seq {
		lines = lines[min(seq-lines[0].Seq+1, uint64(len(lines))):]
	}
	lines = lines[max(0, len(lines)-n):]
	return append([]Line(nil), lines...), j.more
}

// Wait is After, but waits until there is a line or ctx ends.
func (j *Journal) Wait(ctx context.Context, seq uint64, n int) []Line {
	for {
		lines, more := j.after(seq, n)
		if len(lines) > 0 {
			return lines
		}
		select {
		case <-more:
		case <-ctx.Done():
			return nil
		}
	}
}
