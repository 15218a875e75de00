package device

import (
	"context"
	"fmt"

	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// Command is a call from the cloud.
type Command struct {
	// Identifier names the command in the thing model, RequestID this call of it.
	Identifier, RequestID string
	// Input holds the parameters; it is never nil.
	Input map[string]any

	input []byte
}

// Decode reads the input parameters into v, a pointer to a struct with json tags.
func (c *Command) Decode(v any) error {
	if len(c.input) == 0 {
		return nil
	}
	if err := codec.Unmarshal(c.input, v); err != nil {
		return fmt.Errorf("decode the input of %s: %w", c.Identifier, err)
	}
	return nil
}

// CommandHandler carries a command out and returns its output parameters, a map
// or a struct, nil for none. An error tells the caller that it failed; a
// *ReplyError chooses the code. The caller of a synchronous command waits about
// five seconds.
type CommandHandler func(ctx context.Context, c *Command) (output any, err error)

// HandleCommand registers what carries out the command of this identifier.
// Register all before Run. Commands run side by side, at most 16 at a time;
// further ones are answered with an internal error at once.
func (d *Device) HandleCommand(identifier string, h CommandHandler) error {
	d.mu.Lock()
	d.commands[identifier] = h
	d.mu.Unlock()
	return d.listen(context.Background(), topic.Command, d.command)
}

func (d *Device) command(ctx context.Context, payload []byte) {
	var wire message.Command
	c := &Command{}
	err := codec.Unmarshal(payload, &wire)
	if err == nil && len(wire.Input) > 0 {
		err = codec.Unmarshal(wire.Input, &c.Input)
	}
	if err != nil {
		d.log.Warn("a command can't be decoded", "err", err)
		return
	}
	c.Identifier, c.RequestID, c.input = wire.Identifier, string(wire.RequestID), wire.Input
	if c.Input == nil {
		c.Input = map[string]any{}
	}
	d.mu.Lock()
	h := d.commands[c.Identifier]
	again, known := d.answered.begin(c.RequestID)
	d.mu.Unlock()
	if known {
		// The hub sent it again because the connection broke before our
		// acknowledgement. It is still running, or its answer may be lost too.
		if again != nil {
			d.sendReply(ctx, c, again)
		}
		return
	}
	if !d.work.start(func() { d.sendReply(ctx, c, d.execute(ctx, c, h)) }) {
		d.log.Warn("too many handlers run: a command is refused", "command", c.Identifier)
		d.sendReply(ctx, c, d.commandReply(c, nil, &ReplyError{message.CodeInternal, "busy"}))
	}
}

// execute runs the handler and returns the encoded answer.
func (d *Device) execute(ctx context.Context, c *Command, h CommandHandler) []byte {
	if h == nil {
		return d.commandReply(c, nil, &ReplyError{Code: message.CodeNoSuchCommand})
	}
	out, err := h(ctx, c)
	if err != nil {
		d.log.Warn("a command failed", "command", c.Identifier, "err", err)
	}
	b := d.commandReply(c, out, err)
	d.mu.Lock()
	d.answered.end(c.RequestID, b)
	d.mu.Unlock()
	return b
}

func (d *Device) commandReply(c *Command, output any, err error) []byte {
	reply := message.CommandReply{RequestID: message.RequestID(c.RequestID), Identifier: c.Identifier}
	if err == nil && output != nil {
		reply.Output, err = raw(output)
		if err != nil {
			d.log.Error("a command's output can't be encoded", "command", c.Identifier, "err", err)
		}
	}
	if reply.RetCode = codeOf(err); reply.Output == nil {
		reply.Output = emptyObject
	}
	b, err := codec.Marshal(d.format, reply)
	if err != nil {
		d.log.Error("a command's answer can't be encoded", "command", c.Identifier, "err", err)
	}
	return b
}

func (d *Device) sendReply(ctx context.Context, c *Command, b []byte) {
	name := topic.Topic{Kind: topic.CommandReply, Device: d.id, Tail: c.RequestID}.String()
	if err := d.publish(ctx, name, 1, b); err != nil {
		d.log.Warn("a command could not be answered", "command", c.Identifier, "err", err)
	}
}

// answers remembers the last commands and what was answered.
type answers struct {
	known map[string][]byte // nil value: still running
	order []string
}

const keepAnswers = 32

// begin notes the command id; known tells that it was noted before, and answer
// is what was answered then, nil while it runs.
func (a *answers) begin(id string) (answer []byte, known bool) {
	if b, ok := a.known[id]; ok {
		return b, true
	}
	if a.known == nil {
		a.known = make(map[string][]byte)
	}
	if len(a.order) == keepAnswers {
		delete(a.known, a.order[0])
		a.order = a.order[1:]
	}
	a.known[id] = nil
	a.order = append(a.order, id)
	return nil, false
}

func (a *answers) end(id string, answer []byte) {
	if _, ok := a.known[id]; ok {
		a.known[id] = answer
	}
}
