package thing

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestDiff reads testdata/diffs.txt: two definitions, then each change on a line that begins with a blank.
func TestDiff(t *testing.T) {
	b, err := os.ReadFile("testdata/diffs.txt")
	if err != nil {
		t.Fatal(err)
	}
	var pair []*Template
	var want []string
	check := func() {
		if len(pair) < 2 {
			return
		}
		if got := strings.Join(described(Diff(pair[0], pair[1])), "\n"); got != strings.Join(want, "\n") {
			t.Errorf("%s → %s:\n%s\nwant\n%s", pair[0].AppendJSON(nil), pair[1].AppendJSON(nil), got, strings.Join(want, "\n"))
		}
		pair, want = nil, nil
	}
	for _, line := range strings.Split(string(b), "\n") {
		switch {
		case line == "" || line[0] == '#':
		case line[0] == ' ':
			want = append(want, line[1:])
		default:
			check()
			tm, err := ParseTemplate([]byte(line))
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			pair = append(pair, tm)
		}
	}
	check()
}

func described(changes []Change) []string {
	mark := func(breaking bool) string {
		if breaking {
			return " !"
		}
		return ""
	}
	var lines []string
	for _, c := range changes {
		lines = append(lines, fmt.Sprintf("%s %s %s%s", c.Kind, c.Identifier, c.Op, mark(c.Breaking)))
		for _, f := range c.Fields {
			lines = append(lines, fmt.Sprintf("  %s: %s → %s%s", f.Path, f.Old, f.New, mark(f.Breaking)))
		}
	}
	return lines
}

func TestDiffOfItselfIsEmpty(t *testing.T) {
	tm := everything(t)
	if list := Diff(tm, tm); len(list) != 0 || Breaking(list) {
		t.Errorf("%v", list)
	}
	if list := Diff(tm, &Template{}); len(list) != len(tm.Property)+len(tm.Event)+len(tm.Command) || !Breaking(list) {
		t.Errorf("to nothing: %v", described(list))
	}
	if list := Diff(&Template{}, tm); len(list) != len(tm.Property)+len(tm.Event)+len(tm.Command) || Breaking(list) {
		t.Errorf("from nothing: %v", described(list))
	}
}
