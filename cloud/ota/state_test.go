package ota

import (
	"strconv"
	"strings"
	"testing"
)

// transitions is the whole table: a row for each state, a column for each that may follow it, in the order of their numbers. What it does not
// have is not legal.
const transitions = `
             q o d b S F C R a s A r t J T U
queued       x x . . x x x . . . . . . . x x
offered      x x x x x x x x x x x x x x x x
downloading  x x x x x x x x . x x x x x x x
burning      x x . x x x x x . . . . . x x x
succeeded    . . . . . . . . . . . . . . . .
failed       . . . . . . . . . . . . . . . .
cancelled    . . . . . . . . . . . . . . . .
rolled_back  . . . . . . . . . . . . . . . .
accepted     x x x . x x x x x x x x x x x x
staged       x x x . x x x x . x x x x x x x
armed        x . . . x x x x . . x x x x x x
rebooting    x . . . x x x x . . . x x x x x
trial        x . . . x x x x . . . . x x x x
rejected     . . . . . . . . . . . . . . . .
timed_out    . . . . . . . . . . . . . . . .
superseded   . . . . . . . . . . . . . . . .`

func TestTransitions(t *testing.T) {
	rows := strings.Split(strings.TrimLeft(transitions, "\n"), "\n")[1:]
	if len(rows) != int(states) {
		t.Fatalf("%d rows, want %d", len(rows), states)
	}
	for i, row := range rows {
		cells := strings.Fields(row)
		from, ok := ParseState(cells[0])
		if !ok || int(from) != i || len(cells) != int(states)+1 {
			t.Fatalf("row %d: %q", i, row)
		}
		for to, cell := range cells[1:] {
			if got, want := from.May(State(to)), cell == "x"; got != want {
				t.Errorf("%s to %s: got %v, want %v", from, State(to), got, want)
			}
		}
	}
	if states.May(Initial) || Initial.May(states) {
		t.Error("a state that there is not may be gone to")
	}
}

func TestStateNames(t *testing.T) {
	stock := map[string]int{}
	for _, s := range States() {
		if got, ok := ParseState(s.String()); !ok || got != s {
			t.Errorf("%s: %v", s, got)
		}
		stock[s.Stock()]++
		found := false
		for _, behind := range ParseStock(s.Stock()) {
			found = found || behind == s
			if behind.Open() != s.Open() || behind.Running() != s.Running() {
				t.Errorf("%s and %s are both %s, and only one goes on", s, behind, s.Stock())
			}
		}
		if !found {
			t.Errorf("%s is not behind its stock name %s", s, s.Stock())
		}
	}
	if len(stock) != 8 {
		t.Errorf("stock names %v, want 8", stock)
	}
	if _, ok := ParseState("initial"); ok || ParseStock("trial") != nil || states.String() != "state 16" {
		t.Error("names that there are not")
	}
	for s := range states {
		if (s.Open() && s != Initial) != strings.Contains(strings.NewReplacer("(", " ", ")", ",").Replace(runningStates), " "+strconv.Itoa(int(s))+",") {
			t.Errorf("%s: SQL has another idea of what runs", s)
		}
	}
}
