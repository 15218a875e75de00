package rules

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
)

// Sink delivers records to one target. Its methods are called from several goroutines: records of one device by one after
// the other, in order.
type Sink interface {
	// Send delivers records, 1 to MaxBatch of them, all or, on an error, possibly some: they are all sent again then. It
	// must end soon after ctx. Errors:
	//   - one that wraps ErrPermanent: the records will never be taken. Of several, each is then sent alone, and those that
	//     fail so again are dead letters;
	//   - one that wraps ErrUnavailable: the target is not there; it is tried again for as long as it takes;
	//   - any other may be the records' fault or the target's: it is tried again Config.MaxAttempts times.
	Send(ctx context.Context, records []Record) error
	// MaxBatch is how many records Send takes, at least 1.
	MaxBatch() int
	// Linger is how long records may wait for others before a Send of fewer than MaxBatch; 0 is not at all. A full batch
	// never waits. It is asked for each record and must not block.
	Linger() time.Duration
	// Close frees what the sink holds. It is called once, when the sink is no longer of use; a Send that is under way, or comes even later, may
	// fail with ErrUnavailable.
	Close() error
}

// Errors of Send.
var (
	ErrPermanent   = errors.New("rules: the target refuses the record")
	ErrUnavailable = errors.New("rules: the target is not available")
)

// RetryAfter is implemented by errors of Send that know when the target wants to be tried again.
type RetryAfter interface{ RetryAfter() time.Duration }

// Factory makes the sink of an action from its configuration, a JSON object, or says what is wrong with it. It connects
// nowhere yet.
type Factory func(config json.RawMessage, env Env) (Sink, error)

// Env is what a sink may use of the hub.
type Env struct {
	// Binary tells that the rule is for binary messages: a Record's Result is bytes then, JSON only by chance.
	Binary bool
	// Publish puts a message on a custom topic of a device: to the device and to the rules.
	Publish func(ctx context.Context, p Publication) error
	// Connector finds a connector of the rule's project by its id, which must be of the kind.
	Connector func(kind, id string) (Handle, error)
}

// Publication is a message that a rule makes of another.
type Publication struct {
	Device    ident.Device
	Topic     string // a custom topic of Device, whole
	Payload   []byte // JSON
	QoS       byte
	MessageID message.ID // of the message that it was made of, and its own too
	Key       string     // of the record that it was made of
	Hop       int        // how often the message has been republished, this time included
}

// broken stands for a sink whose stored configuration this program cannot use: its records wait.
type broken struct{ why error }

func (b broken) Send(context.Context, []Record) error { return errors.Join(ErrUnavailable, b.why) }
func (broken) MaxBatch() int                          { return 1 }
func (broken) Linger() time.Duration                  { return 0 }
func (broken) Close() error                           { return nil }
