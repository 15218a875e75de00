package uplink

import (
	"context"
	"errors"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/message"
)

// flight is what the path keeps with a message while it is on its way. The functions are bound to the message once in
// its life in the pool, so that a message costs no closure.
type flight struct {
	pooled  bool
	path    *Path
	ctx     context.Context // of Take: the message's own life, handed on to a second try
	ack     Ack
	unit    store.Unit
	settled func(error)
	root    func() (codec.Value, error)
	lazy    lazy
	tries   int
	lane    *lane
	refused *Refusal
	held    error // why the rules have no room for it
	trace   trace
}

// begin binds the message to the path.
func (m *Message) begin(p *Path, ctx context.Context, ack Ack) {
	m.path, m.ctx, m.ack = p, ctx, ack
	if m.settled == nil {
		m.settled = func(err error) { m.path.settle(m, err) }
		m.root = m.Root
		m.lazy.root = m.lazy.value
	}
}

// ErrHeld is in the error of a message for which a Matcher has no room, beside server.ErrUnavailable.
var ErrHeld = errors.New("uplink: held")

// Hold is for a Matcher that has no room for what the message causes: the message is not taken, nothing of it is stored, and its sender
// repeats it, as when the store has no room. It is false, and does nothing, for a message that comes through no path: that one
// is stored by whoever made it.
func (m *Message) Hold(why error) bool {
	if m.path == nil {
		return false
	}
	m.held = why
	return true
}

// outcome is what the sender is told of a message whose unit is committed.
func (m *Message) outcome() error {
	if m.refused == nil {
		return nil
	}
	return m.refused
}

// RequestID is the request's own id, as a string even when the device sent a number; CodeMissing or CodeBad say why there is
// none. The string is valid as long as the message.
func (m *Message) RequestID() (string, message.Code) {
	root, err := m.Root()
	if err != nil {
		return "", message.CodeBad
	}
	return message.RequestIDOf(root)
}

// release gives a pooled message back, emptied but for the slices and functions that it owns.
func (m *Message) release(p *Path) {
	m.lazy.use(nil)
	clear(m.unit.Out)
	if !m.pooled {
		return
	}
	m.Reset()
	if m.doc != nil {
		m.doc.Release()
	}
	out := m.unit.Out[:0]
	clear(m.trace.hops)
	*m = Message{ops: m.ops, replies: m.replies, derived: m.derived, after: m.after,
		flight: flight{pooled: true, settled: m.settled, root: m.root, lazy: lazy{root: m.lazy.root},
			trace: trace{hops: m.trace.hops[:0]}}}
	m.unit.Out = out
	p.pool.Put(m)
}

// lazy decodes a derived message when the first rule asks for it.
type lazy struct {
	b    []byte
	doc  *codec.Doc
	err  error
	root func() (codec.Value, error)
}

// use points l at another payload and lets go of the last one.
func (l *lazy) use(b []byte) {
	if l.doc != nil {
		l.doc.Release()
	}
	l.b, l.doc, l.err = b, nil, nil
}

func (l *lazy) value() (codec.Value, error) {
	if l.doc == nil && l.err == nil {
		l.doc, l.err = codec.Decode(l.b, codec.DefaultLimits())
	}
	if l.err != nil {
		return codec.Value{}, l.err
	}
	return l.doc.Root(), nil
}
