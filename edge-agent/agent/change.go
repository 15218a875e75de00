package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hawser-iot/hawser/edge-agent/localapi"
	"github.com/hawser-iot/hawser/edge-agent/trial"
	"github.com/hawser-iot/hawser/protocol/agentmsg"
)

const commandRestart = "restart"

// onTrial watches a configuration that has to prove itself, and waits for the word to start anew: both end Run with ErrRestart.
func (a *Agent) onTrial(ctx context.Context) error {
	if a.Trial != nil {
		err := a.Trial.Watch(ctx, a.up.Connected)
		if ctx.Err() == nil && (err == nil || errors.Is(err, trial.ErrTakenBack)) {
			a.tellOutcome()
		}
		switch {
		case errors.Is(err, trial.ErrTakenBack):
			a.log.Error("the configuration is taken back", "err", err)
			return ErrRestart
		case err != nil:
			a.log.Error("the configuration's trial", "err", err)
		case ctx.Err() == nil:
			a.log.Info("the configuration has proved itself")
		}
	} else if a.ConfigPath != "" && trial.Begun(a.ConfigPath) { // since this start read the file; who began it found no socket yet, and so told nobody
		return ErrRestart
	}
	select {
	case <-a.restart:
		return ErrRestart
	case <-ctx.Done():
		return nil
	}
}

// tellOutcome tells the hub how the trial has ended, if it was of a configuration of its own. What does not arrive is in the next hello.
func (a *Agent) tellOutcome() {
	if err := a.remote.settle(false); err != nil {
		a.log.Error("what became of a configuration is not kept", "err", err)
	}
	a.up.Say(&agentmsg.State{ConfigState: a.remote.state()})
}

// ApplyConfig puts another configuration into the place of the file at path, and has the agent that runs start anew with it. It is on trial: an agent
// that is not connected to the hub for a while within the time, or does not start, takes it back.
func ApplyConfig(ctx context.Context, path string, next []byte, within time.Duration) error {
	old, err := Load(path)
	if err != nil {
		return err
	}
	cfg, err := Parse(next)
	switch {
	case err != nil:
		return fmt.Errorf("the new configuration: %w", err)
	case cfg.own() != old.own():
		return errors.New("the new configuration is another gateway's")
	case cfg.Data != old.Data:
		return errors.New("the new configuration has another data folder, which the agent does not move")
	}
	if err := trial.Begin(path, next, within); err != nil {
		return err
	}
	err = localapi.Call(ctx, old.SocketPath(), commandRestart, nil, nil)
	if errors.Is(err, localapi.ErrNotRunning) {
		return nil // the next start is on trial
	}
	return err
}
