// Package uplink is the path of a message from a device to the store and back to its sender.
//
// Every door (MQTT in cloud/broker, HTTP in cloud/ingress) fills a [Message] and hands it to [Path.Take]. The path is a list of
// named steps over that one value: number it, let the handler of its kind look at it, match the rules, commit everything that
// it causes as one unit, and only then answer, acknowledge and show it to watchers.
//
// It promises:
//   - a message is decoded at most once, whoever needs it ([Message.Doc]);
//   - all that a message causes (state, derived events, rule outputs) is committed together or not at all, before the
//     acknowledgement;
//   - the acknowledgement is given exactly once: nil when the message is safe or was refused for good, ErrUnavailable when it
//     could not be stored;
//   - messages of one device are committed in the order they were taken, and answered in that order.
//
// It knows no thing model, shadow or rule: the hub hands in a [Handler] for each kind and a [Matcher]. Authentication and
// permissions are the doors' business and are settled before Take.
package uplink

import (
	"context"

	"github.com/hawser-iot/hawser/cloud/monitor"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
)

// Handler gives one kind of system message its meaning. It reads m, stages what must be stored and what must be answered,
// and returns; it commits nothing itself. It may be called again for the same message after [Message.Reset] when the unit
// met a conflict, and must then look at the state anew.
//
// Errors: nil commits what was staged. A [*Refusal] (or an error of codec) means that the message is at fault: nothing
// staged is committed, no rule sees it, it is answered and acknowledged. An error that store.IsTemporary knows leaves it
// unacknowledged. Any other error is an internal fault: answered with RetCode 130, logged, acknowledged.
type Handler interface {
	Handle(ctx context.Context, m *Message) error
}

// Excuser is a Handler whose messages have an answer of their own form. Excuse stages the answer to a message that met a fault of
// the hub's own; it must not wait for anything.
type Excuser interface {
	Excuse(m *Message, code message.Code) error
}

// Matcher finds the rules that want a message and appends one outbox record for each of their outputs to out.
// topicName is m.Name for the message itself and the derived message's topic otherwise; payload decodes lazily and at most once.
// It must not keep m, the value or out.
type Matcher interface {
	Match(m *Message, topicName string, payload func() (codec.Value, error), out [][]byte) [][]byte
}

// Parser turns the raw payload of a message whose topic asked for it into JSON; *script.Scripts is one. Parse may block, which holds up
// the message's connection and nobody else. It calls done once, from any goroutine, with JSON that is the message's own from then
// on, or with an error as a Handler's. The message does not change before that.
type Parser interface {
	Parse(ctx context.Context, m *Message, done func(json []byte, err error))
}

// Audience are applications that listen to what devices publish; *application.Applications is one. Listening must be cheap: it is
// asked for every message, Match called only when it said yes. Match may stage operations that are no guards, and use
// Message.After to hand the message out when it is committed.
type Audience interface {
	Listening() bool
	Match(m *Message)
}

// Feed shows accepted messages to people who watch; *monitor.Feed is one. Watched must be cheap: it is asked for every
// message, Publish called only when it said yes, after the commit.
type Feed interface {
	Watched() bool
	Publish(monitor.Event)
}

// Link is the connection that a message came over; *server.Session is one. Data holds the door's own record.
type Link interface {
	Send(server.Message) error
	Subscribed(topic string) (qos byte, ok bool)
	Identity() string
	Data() any
}

// Sender reaches a device that is not (or not only) the message's own connection: answers to messages that came over HTTP.
type Sender interface {
	Reply(dev ident.Device, topicName string, payload []byte) error
}

// Ack ends a message: nil acknowledges it. *server.Publish is one, so that the broker needs no closure.
type Ack interface{ Done(error) }

// AckFunc makes a function an Ack.
type AckFunc func(error)

// Done calls f.
func (f AckFunc) Done(err error) { f(err) }
