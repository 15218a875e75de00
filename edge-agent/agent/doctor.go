package agent

import (
	"context"
	"errors"

	"github.com/hawser-iot/hawser/edge-agent/doctor"
	"github.com/hawser-iot/hawser/edge-agent/localapi"
)

// Examine looks for what keeps the gateway from its work, whether the agent runs or not.
func Examine(ctx context.Context, cfg Config) ([]doctor.Finding, error) {
	lc, err := cfg.link()
	if err != nil {
		return nil, err
	}
	d := doctor.DefaultConfig()
	d.Link, d.Data = lc, cfg.Data
	s, err := AskStatus(ctx, cfg)
	if err != nil && !errors.Is(err, localapi.ErrNotRunning) {
		return nil, err
	}
	if err == nil {
		d.Running = &doctor.Running{Connected: s.Link.Connected, LastError: s.Link.Failure}
		if s.Link.Since != nil {
			d.Running.Since = *s.Link.Since
		}
	}
	return doctor.Examine(ctx, d), nil
}
