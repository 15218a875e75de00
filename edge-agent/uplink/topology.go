package uplink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strconv"
	"sync"
	"time"

	"github.com/hawser-iot/hawser/device-sdk/link"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// errNoReply: the hub took a request and did not answer in time.
var errNoReply = errors.New("uplink: no answer from the hub in time")

// refusedError is the hub's refusal of a topology request.
type refusedError struct {
	code    message.Code
	message string
}

func (e *refusedError) Error() string {
	return fmt.Sprintf("uplink: the hub refused with code %d: %s", int(e.code), e.message)
}

// topology speaks the gateway's subdev/ topics.
type topology struct {
	link    *link.Link
	timeout time.Duration
	log     *slog.Logger

	// mu guards the fields below.
	mu      sync.Mutex
	secrets map[ident.Device]credential.Secret
	last    int64
	waiting map[message.RequestID]chan message.SubdevReply
}

func newTopology(l *link.Link, cfg Config, log *slog.Logger) *topology {
	t := &topology{
		link: l, timeout: cfg.ReplyTimeout, secrets: maps.Clone(cfg.Secrets), log: log,
		last: time.Now().UnixMilli() % 1e12, waiting: make(map[message.RequestID]chan message.SubdevReply),
	}
	if t.secrets == nil {
		t.secrets = make(map[ident.Device]credential.Secret)
	}
	return t
}

func (t *topology) listen() error {
	for _, k := range []topic.Kind{topic.TopoAddReply, topic.SubdevLoginReply, topic.SubdevLogoutReply, topic.SubdevRegisterReply} {
		if err := t.link.Subscribe(context.Background(), topic.System(t.link.Device(), k), 1, t.reply); err != nil {
			return err
		}
	}
	return nil
}

func (t *topology) reply(_ context.Context, m link.Message) {
	var r message.SubdevReply
	if err := codec.Unmarshal(m.Payload, &r); err != nil {
		t.log.Warn("a topology answer can't be decoded", "topic", m.Topic, "err", err)
		return
	}
	t.mu.Lock()
	ch := t.waiting[r.RequestID]
	delete(t.waiting, r.RequestID)
	t.mu.Unlock()
	if ch != nil {
		ch <- r
	}
}

// add makes the devices the gateway's own.
func (t *topology) add(ctx context.Context, ds ...ident.Device) error {
	return t.request(ctx, topic.TopoAdd, ds)
}

// login marks sub-devices online; after it the gateway may use their topics.
func (t *topology) login(ctx context.Context, ds ...ident.Device) error {
	return t.request(ctx, topic.SubdevLogin, ds)
}

func (t *topology) request(ctx context.Context, k topic.Kind, ds []ident.Device) error {
	_, err := t.ask(ctx, k, t.subdevs(ds, true))
	return err
}

// ask makes a request and returns the hub's answer, or a *refusedError.
func (t *topology) ask(ctx context.Context, k topic.Kind, params []message.Subdev) (r message.SubdevReply, err error) {
	id, body, err := t.encode(params)
	if err != nil {
		return r, err
	}
	ch := make(chan message.SubdevReply, 1)
	t.mu.Lock()
	t.waiting[id] = ch
	t.mu.Unlock()
	defer func() {
		t.mu.Lock()
		delete(t.waiting, id)
		t.mu.Unlock()
	}()
	m := link.Message{Topic: topic.System(t.link.Device(), k), Payload: body, QoS: 1}
	if _, err := t.link.Send(ctx, m); err != nil {
		return r, fmt.Errorf("%s: %w", k, err)
	}
	timer := time.NewTimer(t.timeout)
	defer timer.Stop()
	select {
	case r := <-ch:
		if !r.RetCode.OK() {
			return r, &refusedError{r.RetCode, r.Message}
		}
		return r, nil
	case <-timer.C:
		return r, fmt.Errorf("%s: %w", k, errNoReply)
	case <-ctx.Done():
		return r, ctx.Err()
	}
}

// logoutBody is what the buffer holds for a sub-device that has left.
func (t *topology) logoutBody(d ident.Device) ([]byte, error) {
	_, body, err := t.encode(t.subdevs([]ident.Device{d}, false))
	return body, err
}

// encode makes a request.
func (t *topology) encode(params []message.Subdev) (id message.RequestID, body []byte, err error) {
	t.mu.Lock()
	t.last++
	id = message.RequestID(strconv.FormatInt(t.last, 10))
	t.mu.Unlock()
	body, err = codec.Marshal(codec.JSON, message.SubdevRequest{RequestID: id, Params: params})
	return id, body, err
}

// subdevs names devices, with proof of the secrets that are known if it is wanted.
func (t *topology) subdevs(ds []ident.Device, proof bool) (list []message.Subdev) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, d := range ds {
		sub := message.NewSubdev(d)
		if secret, ok := t.secrets[d]; ok && proof {
			sub.Sign = credential.SignSubdev(secret, d)
		}
		list = append(list, sub)
	}
	return list
}

// subdevsOf reads the Params of a topology message.
func subdevsOf(payload []byte) ([]message.Subdev, error) {
	var req message.SubdevRequest
	if err := codec.Unmarshal(payload, &req); err != nil {
		return nil, err
	}
	for _, p := range req.Params {
		if err := p.Device().Check(); err != nil {
			return nil, err
		}
	}
	return req.Params, nil
}
