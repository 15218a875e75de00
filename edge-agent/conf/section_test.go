package conf

import (
	"strings"
	"testing"
)

func TestSections(t *testing.T) {
	const text = "\ufeff# above\n---\nhub: a # b\n\n# of both\nlist:\n- x: |\n    hub: y\n- z\n\"log\": {\n  level: debug }\nlast: 1"
	list, err := Sections([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range list {
		got = append(got, s.Key+"="+string(s.Text))
	}
	want := []string{"hub=hub: a # b\n\n# of both\n", "list=list:\n- x: |\n    hub: y\n- z\n", "log=\"log\": {\n  level: debug }\n", "last=last: 1\n"}
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("%q, want %q", got, want)
	}
	for _, bad := range []string{"{a: 1}", "- a", "a", " a: 1\n b: 2", "a: 1\na: 2", "a: ["} {
		if list, err := Sections([]byte(bad)); err == nil {
			t.Errorf("%q is %v", bad, list)
		}
	}
	if list, err := Sections([]byte("# nothing\n")); err != nil || list != nil {
		t.Errorf("of nothing %v, %v", list, err)
	}
}
