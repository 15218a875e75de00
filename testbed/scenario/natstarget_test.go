package scenario

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hawser-iot/hawser/testbed/harness"
)

// natsTarget is a stream of JetStream.
type natsTarget struct{ peer }

// stream gives do the stream, which is made when it is not there.
func (n *natsTarget) stream(t *testing.T, do func(ctx context.Context, s jetstream.Stream) error) {
	t.Helper()
	until(t, "JetStream", func() error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		nc, err := nats.Connect("nats://" + n.addr)
		if err != nil {
			return err
		}
		defer nc.Close()
		js, err := jetstream.New(nc)
		if err != nil {
			return err
		}
		s, err := js.Stream(ctx, "readings")
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			s, err = js.CreateStream(ctx, jetstream.StreamConfig{Name: "readings", Subjects: []string{"readings.>"}, Duplicates: time.Hour})
		}
		if err != nil {
			return err
		}
		return do(ctx, s)
	})
}

func (n *natsTarget) Start(t *testing.T) string {
	t.Helper()
	n.start(t, "nats")
	n.stream(t, func(context.Context, jetstream.Stream) error { return nil })
	return n.addr
}

func (n *natsTarget) Action(t *testing.T, hub *harness.Hub, addr string) map[string]any {
	t.Helper()
	return map[string]any{"kind": "nats", "subject": "readings.${device}", "jetstream": true,
		"connector": makeConnector(t, hub, "nats", map[string]any{"servers": []string{addr}, "timeoutSeconds": 2})}
}

func (n *natsTarget) Rows(t *testing.T) (rows map[string][]int) {
	t.Helper()
	n.stream(t, func(ctx context.Context, s jetstream.Stream) error {
		rows = map[string][]int{}
		info, err := s.Info(ctx)
		if err != nil || info.State.Msgs == 0 {
			return err
		}
		c, err := s.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
		if err != nil {
			return err
		}
		all, err := c.Messages()
		if err != nil {
			return err
		}
		defer all.Stop()
		for range info.State.Msgs {
			m, err := all.Next(jetstream.NextContext(ctx))
			if err != nil {
				return err
			}
			var r row
			if err := json.Unmarshal(m.Data(), &r); err != nil {
				return err
			}
			rows[r.Device] = append(rows[r.Device], r.N)
		}
		return nil
	})
	return rows
}
