package messagelog

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/message"
)

// The kinds of record.
const (
	KindConnection = "connection" // a device or an application logged in or out, was refused, or did something it may not
	KindUplink     = "uplink"     // a message from a device
	KindDownlink   = "downlink"   // a message to a device
	KindDelivery   = "delivery"   // what a rule made of a message, on its way to a sink
	KindDevice     = "device"     // a line that a device logged, on log/post
	KindLeftOut    = "left_out"   // the log did not keep up: LeftOut records are missing here
)

// Kinds are all of them.
var Kinds = []string{KindConnection, KindUplink, KindDownlink, KindDelivery, KindDevice, KindLeftOut}

// Results are what a record's Result may be.
var Results = []uplink.Result{uplink.OK, uplink.Refused, uplink.Failed, uplink.Waiting}

// Record is one entry of the log.
type Record struct {
	At      time.Time // when it happened; of an uplink, when it was received
	Kind    string
	Result  uplink.Result
	ID      message.ID // 0: it belongs to no message
	Product string
	Device  string
	Action  string // of a connection: login, logout, …; of a delivery: sink; of a device's line: its level
	Topic   string
	QoS     byte
	Payload []byte // at most Config.Payload bytes of it
	Size    int    // bytes of the whole payload
	Masked  bool   // secrets in the payload were replaced
	Took    time.Duration
	Hops    []uplink.Hop
	More    int    // hops that were not kept
	LeftOut uint64 // of KindLeftOut

	// Of what an application does, or sends: its key's id and its client id with a colon between them, and the key's project ("": all).
	// What it does at the door is of no product.
	Application string
	Project     string

	// Set by queries.
	Truncated bool      // Payload is only the beginning
	Logged    time.Time // when it was logged: the order of the log
	Node      string
	raw       []byte // as it is stored
}

const (
	recordVersion   = 1
	flagMasked      = 1
	flagTruncated   = 2
	flagApplication = 4 // application and project follow
	knownFlags      = flagMasked | flagTruncated | flagApplication

	// Bounds, so that a record always fits a segment.
	maxText = 1 << 10
	maxHops = 64
)

var errRecord = errors.New("messagelog: damaged record")

// append encodes r, with at most payload bytes of its payload:
//
//	version (1), flags (1), qos (1), then as text (uvarint length, bytes): kind, result, action, product, device, topic
//	[, application, project];
//	at (varint, µs), took (uvarint, µs), size (uvarint), left out (uvarint), payload (text), hops that were not kept (uvarint),
//	hops (uvarint: how many), each: name, result (text), code (varint), took (uvarint, µs), reason, detail (text)
//
// The message id is the record's key in its segment.
func (r *Record) append(b []byte, payload int) []byte {
	var flags byte
	if r.Masked {
		flags |= flagMasked
	}
	if len(r.Payload) > payload {
		flags |= flagTruncated
	}
	if r.Application != "" || r.Project != "" {
		flags |= flagApplication
	}
	b = append(b, recordVersion, flags, r.QoS)
	b = appendText(b, r.Kind)
	b = appendText(b, string(r.Result))
	b = appendText(b, r.Action)
	b = appendText(b, r.Product)
	b = appendText(b, r.Device)
	b = appendText(b, r.Topic)
	if flags&flagApplication != 0 {
		b = appendText(b, r.Application)
		b = appendText(b, r.Project)
	}
	b = binary.AppendVarint(b, r.At.UnixMicro())
	b = binary.AppendUvarint(b, micros(r.Took))
	b = binary.AppendUvarint(b, uint64(max(r.Size, 0)))
	b = binary.AppendUvarint(b, r.LeftOut)
	kept := r.Payload[:min(len(r.Payload), payload)]
	b = binary.AppendUvarint(b, uint64(len(kept)))
	b = append(b, kept...)
	hops := r.Hops[:min(len(r.Hops), maxHops)]
	b = binary.AppendUvarint(b, uint64(r.More+len(r.Hops)-len(hops)))
	b = binary.AppendUvarint(b, uint64(len(hops)))
	for i := range hops {
		b = appendHop(b, &hops[i])
	}
	return b
}

func appendHop(b []byte, h *uplink.Hop) []byte {
	b = appendText(b, h.Name)
	b = appendText(b, string(h.Result))
	b = binary.AppendVarint(b, int64(h.Code))
	b = binary.AppendUvarint(b, micros(h.Took))
	b = appendText(b, h.Reason)
	return appendText(b, h.Detail)
}

func appendText(b []byte, s string) []byte {
	s = s[:min(len(s), maxText)]
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

func micros(d time.Duration) uint64 { return uint64(max(d.Microseconds(), 0)) }

// parse is the inverse of append. Payload shares memory with b.
func parse(b []byte) (r Record, err error) {
	if len(b) < 3 || b[0] != recordVersion || b[1]&^knownFlags != 0 {
		return r, errRecord
	}
	r.Masked, r.Truncated, r.QoS = b[1]&flagMasked != 0, b[1]&flagTruncated != 0, b[2]
	p := parser{b: b[3:]}
	r.Kind, r.Result, r.Action = p.text(), uplink.Result(p.text()), p.text()
	r.Product, r.Device, r.Topic = p.text(), p.text(), p.text()
	if b[1]&flagApplication != 0 {
		r.Application, r.Project = p.text(), p.text()
	}
	r.At = time.UnixMicro(p.varint()).UTC()
	r.Took = p.duration()
	r.Size = p.count()
	r.LeftOut = p.uvarint()
	r.Payload = p.bytes()
	r.More = p.count()
	n := p.count()
	if n > maxHops {
		return r, errRecord
	}
	for range n {
		h := uplink.Hop{Name: p.text(), Result: uplink.Result(p.text()), Code: message.Code(p.varint()), Took: p.duration()}
		h.Reason, h.Detail = p.text(), p.text()
		r.Hops = append(r.Hops, h)
	}
	if p.bad || len(p.b) != 0 {
		return r, errRecord
	}
	return r, nil
}

// parser takes fields off b; after the first that does not fit, bad is set and all else is zero.
type parser struct {
	b   []byte
	bad bool
}

func (p *parser) uvarint() uint64 {
	v, n := binary.Uvarint(p.b)
	return skip(p, v, n)
}

func (p *parser) varint() int64 {
	v, n := binary.Varint(p.b)
	return skip(p, v, n)
}

func skip[T any](p *parser, v T, n int) (zero T) {
	if p.bad || n <= 0 {
		p.bad = true
		return zero
	}
	p.b = p.b[n:]
	return v
}

// count is a number that fits an int; a larger one is damage.
func (p *parser) count() int {
	n := p.uvarint()
	if n > 1<<40 {
		p.bad = true
		return 0
	}
	return int(n)
}

func (p *parser) duration() time.Duration { return time.Duration(p.count()) * time.Microsecond }

func (p *parser) bytes() []byte {
	n := p.uvarint()
	if p.bad || n > uint64(len(p.b)) {
		p.bad = true
		return nil
	}
	v := p.b[:n:n]
	p.b = p.b[n:]
	return v
}

func (p *parser) text() string { return string(p.bytes()) }
