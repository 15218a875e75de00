package trie_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/hawser-iot/hawser/protocol/mqtt/trie"
)

func put(t *trie.Tree[string], keys ...string) {
	for _, k := range keys {
		t.Update(k, func(string, bool) (string, bool) { return k, true })
	}
}

func matches(t *trie.Tree[string], name string) (got []string) {
	t.Match(name, func(v string) bool { got = append(got, v); return true })
	slices.Sort(got)
	return got
}

func selected(t *trie.Tree[string], filter string) (got []string) {
	t.Select(filter, func(v string) bool { got = append(got, v); return true })
	slices.Sort(got)
	return got
}

var filters = []string{"#", "+", "a", "a/#", "a/+", "a/b", "+/b", "+/+", "/#", "/+", "a//b", "a/+/b", "$sys/#", "$sys/+", "+/b/#"}

func TestMatch(t *testing.T) {
	var tree trie.Tree[string]
	put(&tree, filters...)
	for name, want := range map[string][]string{
		"a":      {"#", "+", "a", "a/#"},
		"b":      {"#", "+"},
		"a/b":    {"#", "+/+", "+/b", "+/b/#", "a/#", "a/+", "a/b"},
		"/":      {"#", "+/+", "/#", "/+"},
		"/x":     {"#", "+/+", "/#", "/+"},
		"a//b":   {"#", "a/#", "a/+/b", "a//b"},
		"$sys":   {"$sys/#"},
		"$sys/x": {"$sys/#", "$sys/+"},
		"x/b/c":  {"#", "+/b/#"},
	} {
		slices.Sort(want)
		if got := matches(&tree, name); !slices.Equal(got, want) {
			t.Errorf("%s is matched by %q, want %q", name, got, want)
		}
	}
}

func TestSelect(t *testing.T) {
	var tree trie.Tree[string]
	put(&tree, "a", "a/b", "a/c", "/", "b", "$sys/x", "a/b/c")
	for filter, want := range map[string][]string{
		"#":      {"/", "a", "a/b", "a/b/c", "a/c", "b"},
		"+":      {"a", "b"},
		"a/#":    {"a", "a/b", "a/b/c", "a/c"},
		"a/+":    {"a/b", "a/c"},
		"+/b":    {"a/b"},
		"+/+":    {"/", "a/b", "a/c"},
		"$sys/+": {"$sys/x"},
		"$sys/#": {"$sys/x"},
		"a/b":    {"a/b"},
		"no":     nil,
	} {
		if got := selected(&tree, filter); !slices.Equal(got, want) {
			t.Errorf("%s selects %q, want %q", filter, got, want)
		}
	}
}

// TestBothWays holds the two directions against each other over random keys, with removals.
func TestBothWays(t *testing.T) {
	var byFilter, byName trie.Tree[string]
	key := func(wild bool) string {
		levels := []string{"a", "b", "", "$x"}
		if wild {
			levels = append(levels, "+", "+")
		}
		var k []string
		for range 1 + rand.IntN(4) {
			k = append(k, levels[rand.IntN(len(levels))])
		}
		if wild && rand.IntN(4) == 0 {
			k[len(k)-1] = "#"
		}
		return strings.Join(k, "/")
	}
	for range 3000 {
		f, n := key(true), key(false)
		if rand.IntN(3) == 0 {
			byFilter.Update(f, func(string, bool) (string, bool) { return "", false })
			byName.Update(n, func(string, bool) (string, bool) { return "", false })
			continue
		}
		put(&byFilter, f)
		put(&byName, n)
		if f == "" || n == "" {
			continue
		}
		if down, up := slices.Contains(matches(&byFilter, n), f), slices.Contains(selected(&byName, f), n); down != up {
			t.Fatalf("filter %q and name %q: Match says %v, Select %v", f, n, down, up)
		}
	}
	for _, tree := range []*trie.Tree[string]{&byFilter, &byName} {
		for _, k := range append(selected(tree, "#"), selected(tree, "$x/#")...) {
			tree.Update(k, func(string, bool) (string, bool) { return "", false })
		}
	}
	if byName.Len() != 0 {
		t.Errorf("%d names left", byName.Len())
	}
}

func TestBounds(t *testing.T) {
	var tree trie.Tree[int]
	deep := strings.Repeat("/", trie.MaxLevels)
	if trie.Fits(deep) || tree.Update(deep, func(int, bool) (int, bool) { return 1, true }) {
		t.Error("a key with too many levels was taken")
	}
	if ok := tree.Update(deep[1:], func(int, bool) (int, bool) { return 1, true }); !ok || tree.Len() != 1 {
		t.Error("a key with MaxLevels levels was not taken")
	}
	if v, ok := tree.Get(deep[1:]); !ok || v != 1 {
		t.Errorf("Get = %d, %v", v, ok)
	}
	if _, ok := tree.Get("a"); ok {
		t.Error("Get found what is not there")
	}
	tree.Match(strings.Repeat("a/", 30_000), func(int) bool { t.Error("match"); return true })
}

func BenchmarkMatch(b *testing.B) {
	var tree trie.Tree[string]
	for i := range 10_000 {
		put(&tree, fmt.Sprintf("/product/dev-%d/+", i))
	}
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		tree.Match("/product/dev-77/upload", func(string) bool { n++; return true })
		if n != 1 {
			b.Fatal(n)
		}
	}
}
