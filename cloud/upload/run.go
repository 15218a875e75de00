package upload

import (
	"context"
	"sync"
	"time"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/topic"
)

const (
	// touchEvery is how exactly the end of a session is kept.
	touchEvery = time.Hour
	// maxChecks and maxAsked bound what waits; a device that finds no room is told, and asks again.
	maxChecks, maxAsked = 256, 256
	// checkers read whole files; askers answer requests over MQTT.
	checkers, askers = 2, 4
	// askTime is how long a request over MQTT may take.
	askTime = 30 * time.Second
)

// asked is a request that came over MQTT.
type asked struct {
	dev     *registry.Device
	payload []byte
	cbor    bool
}

var _ uplink.Handler = (*Uploads)(nil)

// Handle takes a request on upload/upstream. It is answered by Run: an object store that is slow must not hold up a device's other messages.
func (u *Uploads) Handle(ctx context.Context, m *uplink.Message) error {
	dev, err := u.Registry.DeviceByID(ctx, m.DeviceID)
	if err != nil {
		return err
	}
	if len(m.Payload) > MaxRequest {
		return uplink.Refuse(message.CodeTooLong, "")
	}
	select {
	case u.asked <- asked{dev, append([]byte(nil), m.Payload...), m.CBOR}:
		return nil
	default:
		return u.busy()
	}
}

func (u *Uploads) busy() error {
	return u.refuse(message.CodeInternal, "too many uploads at a time: ask again")
}

// Run reads files that are complete, and answers requests over MQTT, until ctx ends. A file that was being read then is read when its device
// asks again, at this hub or another.
func (u *Uploads) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for range checkers {
		wg.Go(func() {
			for {
				select {
				case c := <-u.checks:
					u.runCheck(ctx, c)
				case <-ctx.Done():
					return
				}
			}
		})
	}
	for range askers {
		wg.Go(func() {
			for {
				select {
				case a := <-u.asked:
					u.answer(ctx, a)
				case <-ctx.Done():
					return
				}
			}
		})
	}
	wg.Wait()
	if u.stage != nil {
		u.stage.close()
	}
	return nil
}

func (u *Uploads) answer(ctx context.Context, a asked) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	body := u.Call(ctx, a.dev, a.payload)
	if a.cbor && codec.Detect(body) != codec.CBOR {
		b, err := codec.ToCBOR(body, codec.DefaultLimits())
		if err != nil {
			u.Log.Error("answer to an upload not written", "device", a.dev.Identity, "err", err)
			return
		}
		body = b
	}
	if err := u.Sender.Reply(a.dev.Identity, topic.System(a.dev.Identity, topic.UploadDownstream), body); err != nil {
		u.Log.Debug("a device did not get the answer to an upload", "device", a.dev.Identity, "err", err)
	}
}

// locks keep what concerns one id apart.
type locks struct {
	mu   sync.Mutex
	held map[int64]*lock // guarded by mu
}

type lock struct {
	c    chan struct{}
	want int // who holds it and who waits; guarded by locks.mu
}

func newLocks() *locks { return &locks{held: map[int64]*lock{}} }

func (l *locks) lock(ctx context.Context, id int64) (unlock func(), err error) {
	l.mu.Lock()
	k := l.held[id]
	if k == nil {
		k = &lock{c: make(chan struct{}, 1)}
		l.held[id] = k
	}
	k.want++
	l.mu.Unlock()
	leave := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if k.want--; k.want == 0 {
			delete(l.held, id)
		}
	}
	select {
	case k.c <- struct{}{}:
		return func() { <-k.c; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}
