package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/hawser-iot/hawser/cloud/apitype"
)

// barWidth is how many characters the bar has, lineEvery how often a line is written where a bar can't be drawn.
const (
	barWidth  = 24
	lineEvery = 5 * time.Second
)

// progress shows how far a job is: a bar that is drawn over and over on a terminal, a line now and then elsewhere.
type progress struct {
	w     io.Writer
	tty   bool
	last  time.Time
	drawn bool
}

func (c *cli) newProgress() *progress {
	f, ok := c.errOut.(*os.File)
	return &progress{w: c.errOut, tty: ok && term.IsTerminal(int(f.Fd()))}
}

// show draws j.
func (p *progress) show(j *apitype.Job) {
	if p.tty || j.State == "running" {
		p.line("job "+j.ID, barOf(j), countsOf(j))
	}
}

// line draws bar on a terminal; elsewhere it writes a line with the name and the counts, when it is time.
func (p *progress) line(name, bar, counts string) {
	if p.tty {
		fmt.Fprintf(p.w, "\r\x1b[K%s", bar)
		p.drawn = true
		return
	}
	if now := time.Now(); now.Sub(p.last) >= lineEvery {
		p.last = now
		fmt.Fprintf(p.w, "%s: %s\n", name, counts)
	}
}

// end leaves the terminal's line.
func (p *progress) end() {
	if p.drawn {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.drawn = false
	}
}

// barOf is one line: ██████░░░░  62 % 62,000/100,000, 12 failed, 9,000/s, 4s left.
func barOf(j *apitype.Job) string {
	if j.Total == nil {
		return strings.Repeat("░", barWidth) + " " + string(j.State)
	}
	share := 1.0
	if *j.Total > 0 {
		share = min(float64(j.Succeeded+j.Failed)/float64(*j.Total), 1)
	}
	full := int(share * barWidth)
	return fmt.Sprintf("%s%s %3.0f %% %s", strings.Repeat("█", full), strings.Repeat("░", barWidth-full), share*100, countsOf(j))
}

func countsOf(j *apitype.Job) string {
	parts := []string{grouped(j.Succeeded + j.Failed)}
	if j.Total != nil {
		parts[0] += "/" + grouped(*j.Total)
	}
	if j.Failed > 0 {
		parts = append(parts, grouped(j.Failed)+" failed")
	}
	if j.RatePerSecond > 0 {
		parts = append(parts, grouped(int64(j.RatePerSecond))+"/s")
	}
	if j.RemainingSeconds != nil {
		parts = append(parts, (time.Duration(*j.RemainingSeconds)*time.Second+time.Second).String()+" left")
	}
	return strings.Join(parts, ", ")
}

// grouped writes a number with commas between groups of three digits.
func grouped(n int64) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
