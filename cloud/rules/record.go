package rules

import (
	"encoding/binary"
	"errors"
	"strconv"
	"time"

	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
)

// Record is one output of a rule for one action, as it waits in the outbox and as a sink gets it.
//
// Version 1 in bytes; numbers are varints (u: unsigned, s: zig-zag) as encoding/binary has them:
//
//	1  version (1)
//	u  action
//	s  MessageID
//	u  index
//	s  device id
//	s  time, Unix ms
//	1  hop
//	u  length, then the bytes: ProductSN, DeviceSN, topic
//	…  result, to the end
type Record struct {
	Action    int64
	MessageID message.ID
	// Index tells apart what one message caused: 0 is its own output, others are of messages that the hub or a republishing
	// rule made of it.
	Index    int
	DeviceID int64
	Device   ident.Device
	Topic    string
	Time     time.Time // when the message was taken
	Hop      int       // how often the message had been republished
	Result   []byte    // JSON; shared, must not be changed
}

const recordVersion = 1

var errRecord = errors.New("rules: outbox record is damaged or newer than this program")

// Key names the output, the same at each delivery of it: MessageID:action, with a third part for derived messages.
func (r *Record) Key() string {
	b := strconv.AppendInt(make([]byte, 0, 48), int64(r.MessageID), 10)
	b = strconv.AppendInt(append(b, ':'), r.Action, 10)
	if r.Index != 0 {
		b = strconv.AppendInt(append(b, ':'), int64(r.Index), 10)
	}
	return string(b)
}

// Append appends the record's bytes.
func (r *Record) Append(dst []byte) []byte {
	dst = append(dst, recordVersion)
	dst = binary.AppendUvarint(dst, uint64(r.Action))
	dst = binary.AppendVarint(dst, int64(r.MessageID))
	dst = binary.AppendUvarint(dst, uint64(r.Index))
	dst = binary.AppendVarint(dst, r.DeviceID)
	dst = binary.AppendVarint(dst, r.Time.UnixMilli())
	dst = append(dst, byte(r.Hop))
	for _, s := range [...]string{r.Device.Product, r.Device.SN, r.Topic} {
		dst = append(binary.AppendUvarint(dst, uint64(len(s))), s...)
	}
	return append(dst, r.Result...)
}

// size is an upper bound of what Append appends.
func (r *Record) size() int {
	return 64 + len(r.Device.Product) + len(r.Device.SN) + len(r.Topic) + len(r.Result)
}

// actionOf reads no more than whose record it is.
func actionOf(b []byte) (int64, bool) {
	if len(b) == 0 || b[0] != recordVersion {
		return 0, false
	}
	v, n := binary.Uvarint(b[1:])
	return int64(v), n > 0
}

// ParseRecord is the inverse of Append. Result shares memory with b.
func ParseRecord(b []byte) (Record, error) {
	if len(b) == 0 || b[0] != recordVersion {
		return Record{}, errRecord
	}
	p := parser{b: b[1:]}
	r := Record{Action: int64(p.uvarint()), MessageID: message.ID(p.varint()), Index: int(p.uvarint()), DeviceID: p.varint()}
	r.Time = time.UnixMilli(p.varint()).UTC()
	r.Hop = int(p.byte())
	r.Device.Product, r.Device.SN, r.Topic = p.text(), p.text(), p.text()
	if p.bad || r.Action < 0 || r.Index < 0 {
		return Record{}, errRecord
	}
	r.Result = p.b
	return r, nil
}

// parser takes fields off b; after the first that does not fit, bad is set and all else is zero.
type parser struct {
	b   []byte
	bad bool
}

func (p *parser) uvarint() uint64 {
	v, n := binary.Uvarint(p.b)
	if !p.take(n) {
		return 0
	}
	return v
}

func (p *parser) varint() int64 {
	v, n := binary.Varint(p.b)
	if !p.take(n) {
		return 0
	}
	return v
}

func (p *parser) byte() byte {
	if p.bad || len(p.b) == 0 {
		p.bad = true
		return 0
	}
	v := p.b[0]
	p.b = p.b[1:]
	return v
}

func (p *parser) text() string {
	n := p.uvarint()
	if p.bad || n > uint64(len(p.b)) {
		p.bad = true
		return ""
	}
	s := string(p.b[:n])
	p.b = p.b[n:]
	return s
}

func (p *parser) take(n int) bool {
	if p.bad || n <= 0 {
		p.bad = true
		return false
	}
	p.b = p.b[n:]
	return true
}
