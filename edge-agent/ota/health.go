package ota

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// Checks are commands of the device's owner: each is a program with its arguments, and is content when it ends with 0.
type Checks struct {
	// Power tells whether there is enough power for an update.
	Power []string
	// Health are asked on trial, until all are content.
	Health [][]string
	// Timeout is how long each may take; 30 s when zero.
	Timeout time.Duration
}

func (c Checks) timeout() time.Duration {
	if c.Timeout == 0 {
		return 30 * time.Second
	}
	return c.Timeout
}

// run runs a command, and has what it printed last in the error.
func (c Checks) run(ctx context.Context, command []string) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout())
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.WaitDelay = time.Second
	out := &tail{most: 200}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(command, " "), err, bytes.TrimSpace(out.b))
	}
	return nil
}

// tail keeps the last bytes.
type tail struct {
	b    []byte
	most int
}

func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	if n := len(t.b) - t.most; n > 0 {
		t.b = append(t.b[:0], t.b[n:]...)
	}
	return len(p), nil
}

// power is update.Config.Power.
func (o *OTA) power(ctx context.Context) error {
	if len(o.cfg.Checks.Power) == 0 {
		return nil
	}
	return o.cfg.Checks.run(ctx, o.cfg.Checks.Power)
}

// healthy is update.Config.Healthy; the engine has seen to the hub's session.
func (o *OTA) healthy(ctx context.Context) error {
	if err := o.watchdog.fed(); err != nil {
		return err
	}
	for _, command := range o.cfg.Checks.Health {
		if err := o.cfg.Checks.run(ctx, command); err != nil {
			return err
		}
	}
	return nil
}
