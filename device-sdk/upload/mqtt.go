package upload

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/message"
)

// Conn is a device's connection for uploads: the topics upload/upstream and upload/downstream. device.Device has one.
type Conn interface {
	// Send publishes on upload/upstream and returns when the hub has acknowledged it.
	Send(ctx context.Context, payload []byte) error
	// Receive has the messages of upload/downstream handled.
	Receive(handle func(ctx context.Context, payload []byte)) error
}

// ErrNoReply: the hub acknowledged a question and did not answer it in time.
var ErrNoReply = errors.New("upload: no answer from the hub in time")

// MQTT asks the hub over the device's MQTT connection. Only questions go there; bytes of files never do.
type MQTT struct {
	conn Conn
	log  *slog.Logger

	// mu guards the fields below.
	mu      sync.Mutex
	last    int64
	waiting map[message.RequestID]chan []byte
}

var _ Hub = (*MQTT)(nil)

// NewMQTT returns a Hub behind a connection; call it before that runs.
func NewMQTT(c Conn, log *slog.Logger) (*MQTT, error) {
	// Late answers of the last run must fit no question of this one.
	m := &MQTT{conn: c, log: log, last: time.Now().UnixMilli() % 1e12, waiting: map[message.RequestID]chan []byte{}}
	return m, c.Receive(m.receive)
}

// Ask implements Hub.
func (m *MQTT) Ask(ctx context.Context, r message.UploadRequest) (a message.UploadReply, err error) {
	answer := make(chan []byte, 1)
	m.mu.Lock()
	m.last++
	r.RequestID = message.RequestID(strconv.FormatInt(m.last, 10))
	m.waiting[r.RequestID] = answer
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		delete(m.waiting, r.RequestID)
		m.mu.Unlock()
	}()
	body, err := codec.Marshal(codec.JSON, r)
	if err != nil {
		return a, fmt.Errorf("upload: %w", err)
	}
	if err := m.conn.Send(ctx, body); err != nil {
		return a, fmt.Errorf("upload: %w", err)
	}
	timer := time.NewTimer(askTime)
	defer timer.Stop()
	select {
	case b := <-answer:
		if err := codec.Unmarshal(b, &a); err != nil {
			return a, fmt.Errorf("upload: answer to %s: %w", r.Method, err)
		}
		return a, nil
	case <-timer.C:
		return a, ErrNoReply
	case <-ctx.Done():
		return a, ctx.Err()
	}
}

func (m *MQTT) receive(_ context.Context, payload []byte) {
	var h message.Request
	if err := codec.Unmarshal(payload, &h); err != nil {
		m.log.Warn("an answer to an upload can't be read", "err", err)
		return
	}
	m.mu.Lock()
	answer := m.waiting[h.RequestID]
	m.mu.Unlock()
	select {
	case answer <- payload: // a nil channel is nobody's
	default:
	}
}
