// Package blobtest is the conformance suite of cloud/blob: an implementation's test is a factory and one call of Run.
package blobtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/hawser-iot/hawser/cloud/blob"
)

// Run checks every promise of blob.Store that can be seen from outside, each on an empty store that open returns.
func Run(t *testing.T, open func(t *testing.T) blob.Store) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, s blob.Store)
	}{
		{"PutGetStatDelete", testRoundTrip}, {"Ranges", testRanges}, {"Names", testNames}, {"Sizes", testSizes},
		{"FailedPutLeavesTheOld", testFailedPut}, {"ReaderKeepsItsBlob", testReplace}, {"Concurrent", testConcurrent},
		{"Context", testContext},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

func put(t *testing.T, s blob.Store, name, data string) blob.Info {
	t.Helper()
	info, err := s.Put(t.Context(), name, strings.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func get(t *testing.T, s blob.Store, name string, offset, length int64) string {
	t.Helper()
	r, _, err := s.Get(t.Context(), name, offset, length)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func testRoundTrip(t *testing.T, s blob.Store) {
	big := strings.Repeat("0123456789abcdef", 200_000) // 3.2 MB
	for name, data := range map[string]string{"a": "", "a/b": "x", "a/b/c.bin": big, "A_b-c.1/2": "y"} {
		info := put(t, s, name, data)
		stat, err := s.Stat(t.Context(), name)
		if err != nil || stat != info || stat.Name != name || stat.Size != int64(len(data)) || time.Since(stat.Modified).Abs() > time.Hour {
			t.Errorf("%s: put %+v, stat %+v, %v", name, info, stat, err)
		}
	}
	for name, want := range map[string]string{"a": "", "a/b": "x", "a/b/c.bin": big, "A_b-c.1/2": "y"} {
		if got := get(t, s, name, 0, -1); got != want {
			t.Errorf("%s: got %d bytes, want %d", name, len(got), len(want))
		}
	}
	for range 2 {
		if err := s.Delete(t.Context(), "a/b"); err != nil {
			t.Errorf("delete: %v", err)
		}
	}
	if _, err := s.Stat(t.Context(), "a/b"); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("stat: got %v, want ErrNotFound", err)
	}
	if _, _, err := s.Get(t.Context(), "a/b", 0, -1); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("get: got %v, want ErrNotFound", err)
	}
	if got := get(t, s, "a/b/c.bin", 0, 16); got != big[:16] {
		t.Errorf("a neighbour was harmed: %q", got)
	}
	if err := s.Delete(t.Context(), "never/was"); err != nil {
		t.Errorf("delete of nothing: %v", err)
	}
}

func testRanges(t *testing.T, s blob.Store) {
	put(t, s, "r", "0123456789")
	for _, test := range []struct {
		offset, length int64
		want           string
	}{{0, -1, "0123456789"}, {0, 0, ""}, {3, 4, "3456"}, {3, -1, "3456789"}, {9, 1, "9"}, {9, 100, "9"}, {10, -1, ""}, {10, 5, ""}} {
		if got := get(t, s, "r", test.offset, test.length); got != test.want {
			t.Errorf("%d+%d: got %q, want %q", test.offset, test.length, got, test.want)
		}
	}
	for _, test := range [][2]int64{{11, 1}, {-1, 1}, {0, -2}} {
		if _, _, err := s.Get(t.Context(), "r", test[0], test[1]); !errors.Is(err, blob.ErrRange) {
			t.Errorf("%v: got %v, want ErrRange", test, err)
		}
	}
	r, info, err := s.Get(t.Context(), "r", 4, 2)
	if err != nil || info.Size != 10 {
		t.Fatalf("info of a range: %+v, %v", info, err)
	}
	var out bytes.Buffer
	if _, err := io.Copy(&out, r); err != nil || out.String() != "45" {
		t.Errorf("copy: got %q, %v", out.String(), err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

func testNames(t *testing.T, s blob.Store) {
	for _, name := range []string{"", "/", "a/", "/a", "a//b", ".", "..", "../a", "a/../b", "a/..", ".tmp/x", "a/.b", "a\\b", "a b",
		"a\x00b", "ä", "a@", "%2e%2e/a", "C:a", strings.Repeat("x", 129), strings.Repeat("x/", 256) + "x"} {
		_, errPut := s.Put(t.Context(), name, strings.NewReader("x"), 1)
		_, _, errGet := s.Get(t.Context(), name, 0, -1)
		_, errStat := s.Stat(t.Context(), name)
		for i, err := range []error{errPut, errGet, errStat, s.Delete(t.Context(), name)} {
			if !errors.Is(err, blob.ErrName) {
				t.Errorf("%q, method %d: got %v, want ErrName", name, i, err)
			}
		}
	}
}

func testSizes(t *testing.T, s blob.Store) {
	for _, size := range []int64{0, 2, 4, 1 << 40} {
		if _, err := s.Put(t.Context(), "s", strings.NewReader("abc"), size); !errors.Is(err, blob.ErrSize) {
			t.Errorf("size %d: got %v, want ErrSize", size, err)
		}
	}
	if _, err := s.Stat(t.Context(), "s"); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
	if info, err := s.Put(t.Context(), "s", strings.NewReader("abc"), -1); err != nil || info.Size != 3 {
		t.Errorf("unknown size: got %+v, %v", info, err)
	}
}

func testFailedPut(t *testing.T, s blob.Store) {
	put(t, s, "f", "old")
	broken := errors.New("broken")
	r := io.MultiReader(strings.NewReader(strings.Repeat("n", 2<<20)), iotest.ErrReader(broken))
	if _, err := s.Put(t.Context(), "f", r, -1); !errors.Is(err, broken) {
		t.Errorf("got %v, want the reader's error", err)
	}
	if got := get(t, s, "f", 0, -1); got != "old" {
		t.Errorf("got %d bytes, want the old blob", len(got))
	}
}

func testReplace(t *testing.T, s blob.Store) {
	put(t, s, "r", "old")
	r, _, err := s.Get(t.Context(), "r", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, "r", "newer")
	if b, err := io.ReadAll(r); err != nil || string(b) != "old" {
		t.Errorf("got %q, %v, want what the reader began with", b, err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if got := get(t, s, "r", 0, -1); got != "newer" {
		t.Errorf("got %q, want newer", got)
	}
}

func testConcurrent(t *testing.T, s blob.Store) {
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 5 {
				data := strings.Repeat(fmt.Sprint(i), 100_000)
				if _, err := s.Put(t.Context(), "same", strings.NewReader(data), -1); err != nil {
					t.Error(err)
				}
				r, _, err := s.Get(t.Context(), "same", 0, -1)
				if err != nil {
					t.Error(err)
					return
				}
				b, err := io.ReadAll(r)
				if err := errors.Join(err, r.Close()); err != nil || len(b) != 100_000 || strings.Trim(string(b), string(b[:1])) != "" {
					t.Errorf("read a mixture of %d bytes, %v", len(b), err)
				}
			}
		})
	}
	wg.Wait()
}

func testContext(t *testing.T, s blob.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Put(ctx, "c", strings.NewReader("x"), 1); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want Canceled", err)
	}
	if _, err := s.Stat(t.Context(), "c"); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}
