// Package doctor looks for what keeps a gateway from its work: the way to the hub step by step (name, connection, certificate, login), the clock, the disk
// and how worn its flash is. For each finding it says what to do. It changes nothing but a file of its own that it deletes again.
package doctor

import (
	"context"
	"net"
	"net/url"
	"time"

	"github.com/hawser-iot/hawser/device-sdk/link"
)

// State is how bad a finding is.
type State string

// The states.
const (
	OK   State = "ok"
	Warn State = "warn" // it works, and will not for long
	Fail State = "fail"
	Skip State = "skip" // something before it failed, or there is nothing to check
)

// Finding is the result of a check.
type Finding struct {
	Check  string `json:"check"` // dns, tcp, tls, login, clock, disk, flash, agent
	State  State  `json:"state"`
	Detail string `json:"detail"`
	Do     string `json:"do,omitempty"` // what to do about it
}

// Config says what is looked at.
type Config struct {
	Link link.Config
	Data string // the agent's data folder
	// Running is the agent's word about its connection, nil when it does not run: no second login is tried beside a connected one, which would end it.
	Running *Running
	// Sys and Proc are the kernel's folders.
	Sys, Proc string
	// Timeout bounds each step on the network.
	Timeout time.Duration
}

// Running is what the agent says of itself.
type Running struct {
	Connected bool
	Since     time.Time
	LastError string
}

// DefaultConfig returns what a caller need not say.
func DefaultConfig() Config { return Config{Sys: "/sys", Proc: "/proc", Timeout: 10 * time.Second} }

// Examine makes all checks, in an order in which the first failure is most likely the cause of those behind it.
func Examine(ctx context.Context, cfg Config) []Finding {
	list := []Finding{cfg.agent()}
	list = append(list, cfg.network(ctx)...)
	return append(list, cfg.disk(), cfg.flash())
}

// Worst is the worst state of a list.
func Worst(list []Finding) State {
	worst := OK
	for _, f := range list {
		if f.State == Fail || f.State == Warn && worst == OK {
			worst = f.State
		}
	}
	return worst
}

func (c Config) agent() Finding {
	switch {
	case c.Running == nil:
		return Finding{"agent", Warn, "the agent does not run", "start its service: systemctl start hawser-agent, or /etc/init.d/hawser-agent start"}
	case !c.Running.Connected && c.Running.LastError != "":
		return Finding{"agent", Fail, "it runs and is not connected: " + c.Running.LastError, "see the checks below for the cause"}
	case !c.Running.Connected:
		return Finding{"agent", Fail, "it runs and is not connected", "see the checks below for the cause"}
	}
	return Finding{Check: "agent", State: OK, Detail: "it runs, connected since " + c.Running.Since.Format(time.RFC3339)}
}

// address takes the hub's URL apart.
func (c Config) address() (scheme, host, port string, err error) {
	u, err := url.Parse(c.Link.Server)
	if err != nil {
		return "", "", "", err
	}
	host, port = u.Hostname(), u.Port()
	if port == "" {
		port = map[string]string{"tcp": "1883", "tls": "8883", "ws": "80", "wss": "443"}[u.Scheme]
	}
	return u.Scheme, host, port, nil
}

// skip is a finding for a step that could not be tried.
func skip(check, why string) Finding { return Finding{Check: check, State: Skip, Detail: why} }

func isIP(host string) bool { return net.ParseIP(host) != nil }
