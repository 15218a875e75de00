package lru

import (
	"sync"
	"testing"
)

func TestBoundAndOrder(t *testing.T) {
	c := New[int, string](16 * 4)
	for i := range 10_000 {
		c.Put(i, "v")
	}
	if got := c.Len(); got > 16*4 {
		t.Errorf("Len = %d, want at most 64", got)
	}
	if got, want := c.Evicted(), uint64(10_000-c.Len()); got != want {
		t.Errorf("Evicted = %d, want %d", got, want)
	}
}

func TestUseKeeps(t *testing.T) {
	c := New[int, int](16 * 2)
	c.Put(-1, 1)
	for i := range 1000 {
		c.Put(i, i)
		if _, ok := c.Get(-1); !ok {
			t.Fatalf("the value in use was evicted after %d others", i+1)
		}
	}
}

func TestFillAfterChange(t *testing.T) {
	tests := []struct {
		name   string
		change func(c *Cache[string, int])
		want   bool
	}{
		{"nothing", func(*Cache[string, int]) {}, true},
		{"removed", func(c *Cache[string, int]) { c.Remove("k") }, false},
		{"put", func(c *Cache[string, int]) { c.Put("k", 9) }, false},
		{"updated while absent", func(c *Cache[string, int]) { c.Update("k", nil) }, false},
		{"cleared", func(c *Cache[string, int]) { c.Clear() }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := New[string, int](100)
			ticket := c.Ticket("k")
			tt.change(c)
			if got := c.Fill("k", ticket, 1); got != tt.want {
				t.Errorf("Fill = %v, want %v", got, tt.want)
			}
			if v, ok := c.Get("k"); ok && v == 1 && !tt.want {
				t.Errorf("a stale value was kept")
			}
		})
	}
}

func TestUpdate(t *testing.T) {
	c := New[string, int](100)
	c.Put("k", 1)
	c.Update("k", func(v int) (int, bool) { return v + 1, true })
	if v, _ := c.Get("k"); v != 2 {
		t.Errorf("after Update = %d, want 2", v)
	}
	c.Update("k", func(int) (int, bool) { return 0, false })
	if _, ok := c.Get("k"); ok {
		t.Errorf("Update that returned false kept the key")
	}
}

func TestConcurrent(t *testing.T) {
	c := New[int, int](64)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 2000 {
				k := (i*7 + g) % 200
				switch i % 4 {
				case 0:
					c.Put(k, k)
				case 1:
					c.Remove(k)
				case 2:
					c.Fill(k, c.Ticket(k), k)
				default:
					if v, ok := c.Get(k); ok && v != k {
						t.Errorf("Get(%d) = %d", k, v)
					}
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkGet(b *testing.B) {
	c := New[int64, *int](10_000)
	v := new(int)
	for i := range int64(10_000) {
		c.Put(i, v)
	}
	b.ReportAllocs()
	i := int64(0)
	for b.Loop() {
		c.Get(i % 10_000)
		i++
	}
}
