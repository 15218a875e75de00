package link

import (
	"context"
	"log/slog"
)

// Probe logs in once as the Link of cfg would, and goes again. It takes nothing: what the hub keeps for a Persistent session stays with the hub. Its error is
// that of a login.
func Probe(ctx context.Context, cfg Config) error {
	l, err := New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	c, err := l.dial(ctx)
	if err != nil {
		return err
	}
	c.end(ErrStopped) // what came meanwhile is in nobody's hands, and was not acknowledged
	return nil
}
