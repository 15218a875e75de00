package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/hawser-iot/hawser/edge-agent/localapi"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/topic"
)

const commandPublish = "publish"

// MaxPublish is how many bytes a message may have that is handed over at the socket.
const MaxPublish = 256 << 10

// ErrTopic is returned by Publish for a topic that is not the gateway's own, or on which it may not publish.
var ErrTopic = errors.New("agent: not a topic on which the gateway may publish")

// note is the argument of commandPublish.
type note struct {
	Topic   string `json:"topic"`
	Payload []byte `json:"payload"`
}

// Publish hands the running agent a message of the gateway's own, and returns when it is durable. name is a topic, or a path of the custom ones.
func Publish(ctx context.Context, cfg Config, name string, payload []byte) error {
	return localapi.Call(ctx, cfg.SocketPath(), commandPublish, note{name, payload}, nil)
}

func (a *Agent) publish(ctx context.Context, args json.RawMessage) (any, error) {
	var n note
	if err := json.Unmarshal(args, &n); err != nil {
		return nil, fmt.Errorf("want {\"topic\":…,\"payload\":…}: %w", err)
	}
	if len(n.Payload) > MaxPublish {
		return nil, fmt.Errorf("agent: %d bytes are more than %d", len(n.Payload), MaxPublish)
	}
	name, err := ownTopic(a.cfg.own(), n.Topic)
	if err != nil {
		return nil, err
	}
	done := make(chan error, 1)
	a.up.Forward(a.cfg.own(), name, n.Payload, 1, func(err error) { done <- err })
	select {
	case err := <-done:
		return nil, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// ownTopic is the topic that name means, when d may publish on it.
func ownTopic(d ident.Device, name string) (string, error) {
	if !strings.HasPrefix(name, "/") {
		name = topic.Name(d, name)
	}
	t, err := topic.Parse(name)
	switch {
	case err != nil:
		return "", fmt.Errorf("%w: %w", ErrTopic, err)
	case t.Device != d:
		return "", fmt.Errorf("%w: it is of %s", ErrTopic, t.Device)
	case t.Kind.Direction()&topic.Pub == 0 || t.Kind.GatewayOnly():
		return "", fmt.Errorf("%w: %s", ErrTopic, t.Kind)
	}
	return name, nil
}
