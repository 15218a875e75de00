package delta

import (
	"context"
	"fmt"
)

// WhenSpent is what happens when the bytes of a Budget are spent.
type WhenSpent int

// What may happen.
const (
	Fail     WhenSpent = iota // Apply ends with ErrBudget; called again with more it goes on where it was
	Wait                      // Apply waits until there are more
	Continue                  // Apply goes on; the report tells how much it was
)

// Budget is how many bytes an update may read from where its packs are. The zero value is no limit.
type Budget struct {
	Bytes int64 // 0 is no limit
	Spent WhenSpent
	// More waits until there are more bytes, for Wait, and tells how many. Its error, which may be ctx's, ends Apply.
	More func(ctx context.Context, needed int64) (int64, error)
}

// meter counts what is read against a budget.
type meter struct {
	budget Budget
	used   int64
}

// take asks for n bytes, before they are read.
func (m *meter) take(ctx context.Context, n int64) error {
	for m.budget.Bytes > 0 && m.used+n > m.budget.Bytes && m.budget.Spent != Continue {
		if m.budget.Spent != Wait || m.budget.More == nil {
			return fmt.Errorf("%w: %d of %d bytes are read and %d more are needed", ErrBudget, m.used, m.budget.Bytes, n)
		}
		more, err := m.budget.More(ctx, m.used+n-m.budget.Bytes)
		if err != nil {
			return err
		}
		m.budget.Bytes += max(more, 0)
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	m.used += n
	return nil
}
