// Package agentmsg is what an agent and a hub say to each other on agent/up and agent/down, beyond what every device says
// (docs/formats/agent-channel.md draws it).
//
// A message is a CBOR map with a type t and the version v of the channel that its sender speaks. Parse tells what it is; a type that the
// receiver does not know is answered with Unsupported and has no other effect, so that both sides may be upgraded apart. The records of a
// Batch are packed by a Writer and read by Records, which allocates no more than the bounds of this package whatever the bytes are. Set is the
// set of sequence numbers that a side has.
//
// It knows no buffer, no connection and no compression: a batch's data come and go as bytes.
package agentmsg

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/hawser-iot/hawser/protocol/codec"
)

// Version of the channel: 1 (2026-11).
const Version = 1

// Type says what a message is.
type Type string

// The types. Those of the first group go up, those of the second down, Unsupported both ways.
const (
	TypeHello     Type = "hello"        // who speaks, and what it holds: at each login, and now and then
	TypeBatch     Type = "batch"        // records
	TypeGap       Type = "gap"          // records that will not come
	TypeDiagnosis Type = "diagnosis"    // the answer to TypeDiagnose
	TypeState     Type = "config_state" // which configuration the agent has, and what became of the one that was offered

	TypeRanges   Type = "ranges"   // what the hub has; the answer to a hello that asks
	TypeRefused  Type = "refused"  // records of a batch that the hub has not taken
	TypeSlow     Type = "slow"     // send less
	TypeRetry    Type = "retry"    // how a fleet comes back after the next outage
	TypeDiagnose Type = "diagnose" // tell how you are
	TypeConfig   Type = "config"   // work with this configuration

	TypeUnsupported Type = "unsupported"
)

// Bounds of the channel.
const (
	MaxRanges  = 64       // of a stream's set: a sender opens no more, a receiver takes no more
	MaxStreams = 32       // of a hello
	MaxRoutes  = 200      // of a hello
	MaxRecords = 1000     // of a batch
	MaxData    = 1 << 20  // bytes of a batch's records, unpacked
	MaxConfig  = 72 << 10 // bytes of a signed configuration
	MaxDetail  = 512      // bytes of a text for people
	maxSeq     = 1<<63 - 1
)

// Errors of Parse and Records.
var (
	// ErrMalformed: the message is none of the channel.
	ErrMalformed = errors.New("agentmsg: malformed message")
	// ErrUnsupported: its type is not known here. Parse returns it with an Unsupported that says so.
	ErrUnsupported = errors.New("agentmsg: unknown type")
)

// Head is in every message.
type Head struct {
	T Type `json:"t"`
	V int  `json:"v"`
}

func head(t Type) Head { return Head{t, Version} }

// Epoch names an incarnation of a stream: 16 hex digits.
type Epoch string

// EpochOf is the name of a random number.
func EpochOf(n uint64) Epoch { return Epoch(fmt.Sprintf("%016x", n)) }

func (e Epoch) check() error {
	if _, err := strconv.ParseUint(string(e), 16, 64); err != nil || len(e) != 16 {
		return fmt.Errorf("%w: epoch %q", ErrMalformed, e)
	}
	return nil
}

// Place names what numbers belong to: a stream of the agent's, and its epoch.
type Place struct {
	Stream string `json:"stream"`
	Epoch  Epoch  `json:"epoch"`
}

func (p Place) check() error {
	if p.Stream == "" || len(p.Stream) > 32 {
		return fmt.Errorf("%w: stream %q", ErrMalformed, p.Stream)
	}
	return p.Epoch.check()
}

// Hello tells who speaks.
type Hello struct {
	Head
	// Ask wants a Ranges in return; without it the hello is only news.
	Ask bool `json:"ask,omitempty"`
	// Agent is the program's version, Platform where it runs: linux/arm64.
	Agent    string `json:"agent"`
	Platform string `json:"platform,omitempty"`
	// Caps are what the agent can do beyond version V: names of types and of options.
	Caps    []string `json:"caps,omitempty"`
	Streams []Stream `json:"streams,omitempty"`
	// Variant is what the program was built with: core or gateway.
	Variant string `json:"variant,omitempty"`
	// Config is which configuration the agent has; nil from one that takes none from the hub.
	Config *ConfigState `json:"config,omitempty"`
	// Uploads are files that wait to be sent; nil from an agent that sends none.
	Uploads *Uploads `json:"uploads,omitempty"`
	// Gaps is how many losses are not told yet.
	Gaps int `json:"gaps,omitempty"`
	// Routes are those in force on a gateway, as in their file.
	Routes []Route `json:"routes,omitempty"`
}

// Route counts what a route of a gateway did since it came into force.
type Route struct {
	Name    string `json:"name"`
	Matched int64  `json:"matched"`           // messages
	Failed  int64  `json:"failed,omitempty"`  // messages on which its rule ended with an error
	Sent    int64  `json:"sent,omitempty"`    // results that a target has taken: of those for the hub, the buffer
	Waiting int64  `json:"waiting,omitempty"` // results that the buffer is still writing
	Dropped int64  `json:"dropped,omitempty"` // results that nobody took
}

func (r *Route) check() error {
	if r.Name == "" || len(r.Name) > 64 || r.Matched < 0 || r.Failed < 0 || r.Sent < 0 || r.Waiting < 0 || r.Dropped < 0 {
		return fmt.Errorf("%w: route %.64q", ErrMalformed, r.Name)
	}
	return nil
}

// Uploads counts files.
type Uploads struct {
	Waiting int64 `json:"waiting"`           // now; that which is being sent too
	Sending bool  `json:"sending,omitempty"` // now
	Sent    int64 `json:"sent,omitempty"`    // since the start of the agent, as is Failed
	Failed  int64 `json:"failed,omitempty"`
}

// Config brings a configuration: bytes as firmware/signing makes them.
type Config struct {
	Head
	Bytes []byte `json:"bytes"`
}

// What became of an offered configuration.
const (
	ConfigTrial   = "trial"   // it is in force, and has to prove itself
	ConfigApplied = "applied" // it is in force
	ConfigBack    = "back"    // it was taken back
	ConfigRefused = "refused" // it was never in force
)

// ConfigState tells which configuration of the hub's the agent has, and what became of the one that was offered last.
type ConfigState struct {
	// Version is the hub's name of what is in force, on trial too; empty when that is none of the hub's.
	Version string `json:"version,omitempty"`
	// Offered and Counter are of the last offer, State one of ConfigTrial and the others; empty when there was none.
	Offered string `json:"offered,omitempty"`
	Counter uint64 `json:"counter,omitempty"`
	State   string `json:"state,omitempty"`
	// Reason is a word for programs when it was refused or taken back, Detail a text for people.
	Reason string `json:"reason,omitempty"`
	Detail string `json:"detail,omitempty"`
}

// State is ConfigState as a message of its own: it has changed.
type State struct {
	Head
	ConfigState
}

// Stream is what an agent holds of one.
type Stream struct {
	Place
	// Next is the number that is given next. All records from it on are new: they have never been sent.
	Next uint64 `json:"next"`
	// Records and Bytes wait to be sent.
	Records int64 `json:"records"`
	Bytes   int64 `json:"bytes"`
	// Lost is how many records were given up since the agent was started, for whatever reason.
	Lost int64 `json:"lost,omitempty"`
	// Settled are numbers that will not come over the channel: the hub has them otherwise, or nobody has.
	Settled Set `json:"settled,omitempty"`
}

// Batch carries records. Its Data are those of a Writer, packed as a zstd frame when Size is not 0; Size is then how long they are unpacked.
type Batch struct {
	Head
	Place
	First    uint64 `json:"first"` // the number of the first record
	Count    int    `json:"n"`
	Size     int    `json:"size,omitempty"`
	Replayed bool   `json:"replayed,omitempty"` // the records waited for a connection: what is newer may have come already
	Data     []byte `json:"data"`
}

// Gap tells of records that will not come.
type Gap struct {
	Head
	Gaps []Loss `json:"gaps"`
}

// Loss is one gap.
type Loss struct {
	Place
	From   uint64 `json:"from"`
	To     uint64 `json:"to"`
	Reason string `json:"reason"`
	Bytes  int64  `json:"bytes,omitempty"`
	// Settled are the numbers between From and To that will not come: all of them, unless the agent has put several gaps together.
	Settled Set `json:"settled,omitempty"`
}

// Ranges is what the hub has of each stream of a hello that asked.
type Ranges struct {
	Head
	Hub     string         `json:"hub"` // the hub's version
	Caps    []string       `json:"caps,omitempty"`
	Streams []StreamRanges `json:"streams,omitempty"`
	// MaxBytes is the largest message that the hub takes, in bytes.
	MaxBytes int `json:"max_bytes,omitempty"`
	// RetryWindow is that of Retry, in seconds; 0: none is set.
	RetryWindow int `json:"retry_window,omitempty"`
}

// StreamRanges are the numbers of a stream that the hub has, or knows not to come.
type StreamRanges struct {
	Place
	Ranges Set `json:"ranges"`
}

// Refused names records of a batch that the hub has not taken and the agent still has to bring, or to give up.
type Refused struct {
	Head
	Place
	Numbers Set    `json:"numbers"`
	Reason  string `json:"reason"` // permission, ranges
}

// Slow asks for at most Rate records a second of a stream, of all when it has no name, for the time.
type Slow struct {
	Head
	Stream string  `json:"stream,omitempty"`
	Rate   float64 `json:"rate"`
	ForMs  int64   `json:"for_ms"`
}

// Retry is for the next outage: the first login after it is tried at a random moment within the window.
type Retry struct {
	Head
	Window int `json:"window"` // seconds
}

// Diagnose asks for a Diagnosis with the same ID.
type Diagnose struct {
	Head
	ID string `json:"id"`
	// Bundle asks for a file with all that helps from afar too; the agent tells its states by further messages.
	Bundle bool `json:"bundle,omitempty"`
}

// How far a bundle is.
const (
	BundleMaking    = "making"
	BundleUploading = "uploading"
	BundleDone      = "done"
	BundleFailed    = "failed"
)

// Diagnosis is how an agent is: names and values of its own. With a State it is about the bundle that was asked for.
type Diagnosis struct {
	Head
	ID     string         `json:"id"`
	Values map[string]any `json:"values,omitempty"`
	State  string         `json:"state,omitempty"`
	// File is the id of the bundle's file at the hub, Size its bytes.
	File   string `json:"file,omitempty"`
	Size   int64  `json:"size,omitempty"`
	Reason string `json:"reason,omitempty"` // for people, of BundleFailed
}

// Unsupported says that a message's type is not known to its receiver.
type Unsupported struct {
	Head
	Type Type `json:"type"`
}

// Message is one of this package's.
type Message interface{ prepare() any }

func (m *Hello) prepare() any       { m.Head = head(TypeHello); return m }
func (m *Batch) prepare() any       { m.Head = head(TypeBatch); return m }
func (m *Gap) prepare() any         { m.Head = head(TypeGap); return m }
func (m *Ranges) prepare() any      { m.Head = head(TypeRanges); return m }
func (m *Refused) prepare() any     { m.Head = head(TypeRefused); return m }
func (m *Slow) prepare() any        { m.Head = head(TypeSlow); return m }
func (m *Retry) prepare() any       { m.Head = head(TypeRetry); return m }
func (m *Diagnose) prepare() any    { m.Head = head(TypeDiagnose); return m }
func (m *Diagnosis) prepare() any   { m.Head = head(TypeDiagnosis); return m }
func (m *Config) prepare() any      { m.Head = head(TypeConfig); return m }
func (m *State) prepare() any       { m.Head = head(TypeState); return m }
func (m *Unsupported) prepare() any { m.Head = head(TypeUnsupported); return m }

// Marshal encodes a message and fills in its head.
func Marshal(m Message) ([]byte, error) { return codec.Marshal(codec.CBOR, m.prepare()) }
