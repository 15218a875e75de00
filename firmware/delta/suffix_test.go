package delta

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/hawser-iot/hawser/firmware/imagetest"
)

// checkOrder holds that sa are all suffixes of text in their order.
func checkOrder(t *testing.T, text []byte) {
	t.Helper()
	want := make([]int32, len(text))
	for i := range want {
		want[i] = int32(i)
	}
	slices.SortFunc(want, func(a, b int32) int { return bytes.Compare(text[a:], text[b:]) })
	if got := suffixArray(text); !slices.Equal(got, want) {
		t.Errorf("%.40q: got %v, want %v", text, got[:min(len(got), 40)], want[:min(len(want), 40)])
	}
}

func TestSuffixArray(t *testing.T) {
	for _, text := range []string{"", "a", "aa", "ab", "ba", "banana", "mississippi", "abracadabra", "\x00\xff\x00\xff", "cabbage cabbage",
		strings.Repeat("a", 300), strings.Repeat("ab", 200), strings.Repeat("aab", 100) + "b", strings.Repeat("\x00", 100) + "\x01" + strings.Repeat("\x00", 100)} {
		checkOrder(t, []byte(text))
	}
	checkOrder(t, imagetest.Stream("suffix", 10_000))
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		text := make([]byte, r.IntN(60))
		for i := range text {
			text[i] = byte(r.IntN(3))
		}
		checkOrder(t, text)
	}
}

func TestLongest(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 500 {
		m := matcher{old: make([]byte, 1+r.IntN(50))}
		what := make([]byte, 1+r.IntN(12))
		for _, b := range [][]byte{m.old, what} {
			for i := range b {
				b[i] = byte(r.IntN(3))
			}
		}
		m.order = suffixArray(m.old)
		want := 0
		for n := range len(what) + 1 {
			if bytes.Contains(m.old, what[:n]) {
				want = n
			}
		}
		pos, got := m.longest(what)
		if got != want || !bytes.HasPrefix(m.old[pos:], what[:got]) {
			t.Fatalf("%v in %v: %d at %d, want %d", what, m.old, got, pos, want)
		}
	}
}

func FuzzSuffixArray(f *testing.F) {
	f.Add([]byte("mississippi"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) < 2000 {
			checkOrder(t, text)
		}
	})
}

func BenchmarkSuffixArray(b *testing.B) {
	text := imagetest.Stream("bench", MaxWindow)
	for b.Loop() {
		suffixArray(text)
	}
}
