package meter

import (
	"fmt"
	"sync"
	"testing"
)

func TestCounts(t *testing.T) {
	m := New()
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for n := range 1000 {
				m.Of(fmt.Sprint("p", n%10)).Message(Up, 3)
				if i == 0 {
					m.Of("p0").Add(Dead, 1)
				}
			}
		})
	}
	wg.Wait()
	if got := m.Of("p3").Values(); got[Up] != 400 || got[UpBytes] != 1200 {
		t.Errorf("p3 counts %v", got)
	}
	if got := m.Of("p0").Values(); got[Dead] != 1000 {
		t.Errorf("p0 counts %v", got)
	}
	if n := len(m.Products()); n != 10 {
		t.Errorf("%d products", n)
	}
	var none *Meter
	none.Of("p").Message(Up, 1) // counts nothing
	none.Fail(Error{})
}

func TestErrorsAreBounded(t *testing.T) {
	m := New()
	for i := range maxErrors + 50 {
		m.Fail(Error{Where: "up", Product: "p", What: fmt.Sprint(i)})
	}
	got := m.TakeErrors()
	if got[Error{Where: "up", What: "others"}] != 50 || len(got) != maxErrors+1 {
		t.Errorf("%d kinds, %d others", len(got), got[Error{Where: "up", What: "others"}])
	}
	if rest := m.TakeErrors(); len(rest) != 0 {
		t.Errorf("taken twice: %v", rest)
	}
}

func TestCountingAllocatesNothing(t *testing.T) {
	m := New()
	m.Of("70ly1tvowt696r15")
	if n := testing.AllocsPerRun(1000, func() { m.Of("70ly1tvowt696r15").Message(Up, 100) }); n != 0 {
		t.Errorf("%v allocations a message", n)
	}
}

func BenchmarkMessage(b *testing.B) {
	m := New()
	for i := range 1000 {
		m.Of(fmt.Sprintf("%016d", i))
	}
	b.Run("one product", func(b *testing.B) {
		for b.Loop() {
			m.Of("0000000000000007").Message(Up, 100)
		}
	})
	b.Run("one product, all processors", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				m.Of("0000000000000007").Message(Up, 100)
			}
		})
	})
}
