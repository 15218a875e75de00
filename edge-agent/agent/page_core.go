//go:build core

package agent

import "context"

// page is a gateway agent's.
type page struct{}

func (a *Agent) openPage() (*page, error) { return nil, nil }
func (p *page) Close() error              { return nil }
func (p *page) Run(context.Context) error { return nil }
