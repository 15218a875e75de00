// Package meter counts what goes through a hub, by product: messages and bytes up and down, what was refused, what rules made of it.
//
// It promises that counting costs a look into a map that nobody writes and an atomic addition, that it allocates nothing and waits for
// nobody, and that counters only grow while the process lives. A nil Meter counts nothing. What becomes of the counts over time is
// cloud/monitor/metric's business.
package meter

import (
	"maps"
	"strings"
	"sync"
	"sync/atomic"
)

// Kind is one thing that is counted.
type Kind uint8

// The kinds. Bytes are those of payloads. Errors are messages that were not taken, or not handed over. Matched counts the results of rules
// that matched, the others what became of them: a record that is given up is dead, or dropped when there is no room for dead letters or
// it was too old.
const (
	Up Kind = iota
	UpBytes
	UpErrors
	Down
	DownBytes
	DownErrors
	Matched
	Delivered
	Dead
	Dropped
	Kinds // how many there are
)

// Counts are the counters of one product. A nil Counts counts nothing.
type Counts struct {
	n [Kinds]atomic.Int64
	_ [48]byte // of two products not in one cache line
}

// Add counts n more.
func (c *Counts) Add(k Kind, n int) {
	if c != nil {
		c.n[k].Add(int64(n))
	}
}

// Message counts a message with size bytes of payload, up or down.
func (c *Counts) Message(k Kind, size int) {
	if c != nil {
		c.n[k].Add(1)
		c.n[k+1].Add(int64(size))
	}
}

// Values are what was counted.
type Values [Kinds]int64

// Values reads the counters, one after the other.
func (c *Counts) Values() (v Values) {
	for k := range v {
		v[k] = c.n[k].Load()
	}
	return v
}

// maxProducts bounds the counters; what is of products beyond is counted together, under Others.
const maxProducts = 100_000

// Others is the name under which products beyond the bound are counted.
const Others = "-"

// Meter holds the counters of all products. It is safe for concurrent use.
type Meter struct {
	products atomic.Pointer[map[string]*Counts] // replaced whole

	mu     sync.Mutex // held over replacing products; guards the fields below
	errors map[Error]int64
}

// New returns a Meter that has counted nothing.
func New() *Meter {
	m := &Meter{errors: make(map[Error]int64)}
	m.products.Store(&map[string]*Counts{})
	return m
}

// Of returns the counters of a product.
func (m *Meter) Of(product string) *Counts {
	if m == nil {
		return nil
	}
	if c := (*m.products.Load())[product]; c != nil {
		return c
	}
	return m.make(product)
}

func (m *Meter) make(product string) *Counts {
	m.mu.Lock()
	defer m.mu.Unlock()
	old := *m.products.Load()
	if len(old) >= maxProducts {
		product = Others
	}
	if c := old[product]; c != nil {
		return c
	}
	next := maps.Clone(old)
	c := &Counts{}
	next[strings.Clone(product)] = c // it may be a part of a message's memory
	m.products.Store(&next)
	return c
}

// Products are the counters of all products that have some. The map must not be changed.
func (m *Meter) Products() map[string]*Counts { return *m.products.Load() }

// Error is a kind of thing that goes wrong.
type Error struct {
	Where   string `json:"where"`             // up, down or rule
	Product string `json:"product,omitempty"` // of the message
	What    string `json:"what"`              // a word or two; what is told to people
}

// maxErrors bounds the errors that are told apart between two Takes; more are counted under an Error without Product and What "others".
const maxErrors = 200

// Fail counts an error.
func (m *Meter) Fail(e Error) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, known := m.errors[e]; !known && len(m.errors) >= maxErrors {
		e = Error{Where: e.Where, What: "others"}
	}
	m.errors[e]++
}

// TakeErrors returns the errors since the last TakeErrors, and forgets them.
func (m *Meter) TakeErrors() map[Error]int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	taken := m.errors
	m.errors = make(map[Error]int64)
	return taken
}
