package device

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// ErrNoReply is returned when the hub acknowledged a request but did not answer
// in Config.RequestTimeout. The request may have been carried out.
var ErrNoReply = errors.New("device: no answer from the hub in time")

// ReplyError is the hub's refusal of a request. A handler may return one too,
// to choose the code that the hub is told.
type ReplyError struct {
	Code    message.Code
	Message string
}

func (e *ReplyError) Error() string {
	text := e.Message
	if text == "" {
		text = e.Code.Text()
	}
	return fmt.Sprintf("device: refused with code %d: %s", int(e.Code), text)
}

// waitKey tells answers apart: request ids are per topic.
type waitKey struct {
	kind topic.Kind
	id   message.RequestID
}

// request publishes body on up and decodes the answer that carries the same id
// on down into reply, which may be nil.
func (d *Device) request(ctx context.Context, up, down topic.Kind, id message.RequestID, body, reply any) error {
	answer := func(_ context.Context, payload []byte) { d.answer(down, payload) }
	if err := d.listen(ctx, down, answer); err != nil {
		return err
	}
	k := waitKey{down, id}
	ch := make(chan []byte, 1)
	d.mu.Lock()
	d.waiting[k] = ch
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		delete(d.waiting, k)
		d.mu.Unlock()
	}()
	if err := d.publishBody(ctx, up, body); err != nil {
		return err
	}
	payload, err := d.await(ctx, ch)
	if err != nil {
		return fmt.Errorf("%s: %w", up, err)
	}
	var h message.Reply // every answer holds these
	if err := codec.Unmarshal(payload, &h); err != nil {
		return fmt.Errorf("decode %s: %w", down, err)
	}
	if h.RetCode != message.CodeOK {
		return &ReplyError{h.RetCode, h.Message}
	}
	if reply == nil {
		return nil
	}
	if err := codec.Unmarshal(payload, reply); err != nil {
		return fmt.Errorf("decode %s: %w", down, err)
	}
	return nil
}

func (d *Device) await(ctx context.Context, ch <-chan []byte) ([]byte, error) {
	timer := time.NewTimer(d.cfg.RequestTimeout)
	defer timer.Stop()
	select {
	case b := <-ch:
		return b, nil
	case <-timer.C:
		return nil, ErrNoReply
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// answer hands a reply to whoever waits for it.
func (d *Device) answer(k topic.Kind, payload []byte) {
	var h message.Reply
	if err := codec.Unmarshal(payload, &h); err != nil {
		d.log.Warn("an answer can't be decoded", "topic", k.String(), "err", err)
		return
	}
	d.mu.Lock()
	ch := d.waiting[waitKey{k, h.RequestID}]
	d.mu.Unlock()
	if ch == nil {
		d.log.Debug("an answer that nobody waits for", "topic", k.String())
		return
	}
	select {
	case ch <- payload:
	default: // sent twice after a lost connection
	}
}

// codeOf is what the hub is told about a handler's error.
func codeOf(err error) message.Code {
	var re *ReplyError
	var code message.Code
	switch {
	case err == nil:
		return message.CodeOK
	case errors.As(err, &re):
		return re.Code
	case errors.As(err, &code):
		return code
	}
	return message.CodeInternal
}

// maxTasks bounds the handlers that run at a time, so that a flood from the
// cloud can't exhaust a small device.
const maxTasks = 16

// tasks counts running handlers. The zero value is ready.
type tasks struct {
	mu sync.Mutex
	n  int
	wg sync.WaitGroup
}

// start runs f in a goroutine and reports whether there was room.
func (t *tasks) start(f func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n >= maxTasks {
		return false
	}
	t.n++
	t.wg.Go(func() {
		defer func() {
			t.mu.Lock()
			t.n--
			t.mu.Unlock()
		}()
		f()
	})
	return true
}

func (t *tasks) wait() { t.wg.Wait() }
