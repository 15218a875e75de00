package server_test

import (
	"testing"

	"github.com/hawser-iot/hawser/protocol/mqtt/server"
)

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		filter, name string
		want         bool
	}{
		{"a/b", "a/b", true}, {"a/b", "a/c", false}, {"a/b", "a", false}, {"a", "a/b", false},
		{"+", "a", true}, {"+", "a/b", false}, {"+", "/a", false}, {"+/+", "/a", true}, {"/+", "/a", true},
		{"a/+/c", "a/b/c", true}, {"a/+/c", "a//c", true}, {"a/+", "a/", true}, {"a/+", "a", false},
		{"#", "a/b", true}, {"#", "/", true}, {"a/#", "a", true}, {"a/#", "a/b/c", true}, {"a/#", "ab", false},
		{"+/#", "a", true}, {"a/b/#", "a", false},
		{"#", "$SYS/x", false}, {"+/x", "$SYS/x", false}, {"$SYS/#", "$SYS/x", true}, {"$SYS/+", "$SYS/x", true}, {"a/+", "a/$x", true},
	} {
		if got := server.Match(c.filter, c.name); got != c.want {
			t.Errorf("match(%q, %q) = %v, want %v", c.filter, c.name, got, c.want)
		}
	}
}
