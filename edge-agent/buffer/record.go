package buffer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"
)

// Record is one message that waits for the hub.
type Record struct {
	// Seq is its place in the stream, given by Append, never reused.
	Seq uint64
	// Time is when it was accepted, kept to the millisecond.
	Time    time.Time
	Topic   string
	Payload []byte
	QoS     byte
}

// The sizes of docs/formats/segment.md, in bytes.
const (
	segmentHeader = 36
	recordHeader  = 24
	maxTopic      = 1<<16 - 1
)

const (
	segmentMagic  = "SEG1"
	segmentFormat = 1 // 1 (2026-11): as docs/formats/segment.md draws it
)

// levelMask are the flags of a segment that say how often it was thinned.
const levelMask = 15

// Flags of a record.
const (
	flagQoS1     = 1 << 0
	flagAbsolute = 1 << 1 // the body begins with the time in Unix ms
	flagsKnown   = flagQoS1 | flagAbsolute
)

// seqWindow is how far ahead a record behind damage may be: what looks like one and is farther is none.
const seqWindow = 1 << 24

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errDamaged = errors.New("buffer: damaged")

func (r *Record) check() error {
	switch {
	case r.Topic == "" || len(r.Topic) > maxTopic:
		return fmt.Errorf("buffer: a topic of %d bytes", len(r.Topic))
	case r.QoS > 1:
		return fmt.Errorf("buffer: QoS %d", r.QoS)
	}
	return nil
}

// size is the most that the record takes in a segment.
func (r *Record) size() int64 { return int64(recordHeader + 8 + 2 + len(r.Topic) + len(r.Payload)) }

// header is what a segment begins with.
type header struct {
	epoch, base uint64
	created     int64 // Unix ms
	level       byte  // how often the records were thinned
}

func (h header) encode() []byte {
	b := append(make([]byte, 0, segmentHeader), segmentMagic...)
	b = binary.BigEndian.AppendUint16(b, segmentFormat)
	b = binary.BigEndian.AppendUint16(b, uint16(h.level))
	b = binary.BigEndian.AppendUint64(b, h.epoch)
	b = binary.BigEndian.AppendUint64(b, h.base)
	b = binary.BigEndian.AppendUint64(b, uint64(h.created))
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// parseHeader returns errDamaged or ErrNewerFormat for what it can't read.
func parseHeader(b []byte) (header, error) {
	if len(b) < segmentHeader || string(b[:4]) != segmentMagic ||
		binary.BigEndian.Uint32(b[32:]) != crc32.Checksum(b[:32], castagnoli) {
		return header{}, fmt.Errorf("%w: segment header", errDamaged)
	}
	if f := binary.BigEndian.Uint16(b[4:]); f > segmentFormat {
		return header{}, fmt.Errorf("%w: segment format %d, this agent knows %d", ErrNewerFormat, f, segmentFormat)
	}
	return header{
		level: b[7] & levelMask,
		epoch: binary.BigEndian.Uint64(b[8:]), base: binary.BigEndian.Uint64(b[16:]), created: int64(binary.BigEndian.Uint64(b[24:])),
	}, nil
}

// appendRecord encodes r for a segment that was created at created. The first record of a segment bears its time itself, so that it can be told
// when the header is lost; so does one whose time is weeks away from it, as after a jump of the clock.
func appendRecord(b []byte, epoch uint64, created int64, r *Record, priority byte, ttl uint16, first bool) []byte {
	at := r.Time.UnixMilli()
	delta, flags, extra := at-created, r.QoS&flagQoS1, 0
	if first || delta != int64(int32(delta)) {
		delta, flags, extra = 0, flags|flagAbsolute, 8
	}
	start := len(b)
	b = binary.BigEndian.AppendUint32(b, uint32(extra+2+len(r.Topic)+len(r.Payload)))
	b = binary.BigEndian.AppendUint32(b, 0)
	b = binary.BigEndian.AppendUint64(b, r.Seq)
	b = append(b, flags, priority)
	b = binary.BigEndian.AppendUint16(b, ttl)
	b = binary.BigEndian.AppendUint32(b, uint32(int32(delta)))
	if extra > 0 {
		b = binary.BigEndian.AppendUint64(b, uint64(at))
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(r.Topic)))
	b = append(b, r.Topic...)
	b = append(b, r.Payload...)
	binary.BigEndian.PutUint32(b[start+4:], recordSum(b[start:], epoch))
	return b
}

// recordSum is the CRC32C over the epoch and the whole record but the CRC itself.
func recordSum(rec []byte, epoch uint64) uint32 {
	var e [8]byte
	binary.BigEndian.PutUint64(e[:], epoch)
	c := crc32.Update(crc32.Checksum(e[:], castagnoli), castagnoli, rec[:4])
	return crc32.Update(c, castagnoli, rec[8:])
}

// view is a record in the bytes of its segment.
type view struct {
	seq             uint64
	at, size        int // in the segment
	flags, priority byte
	ttl             uint16
	delta           int32
	body            []byte // topic and payload, without the time
	absolute        int64  // with flagAbsolute
}

// viewAt reads the record at pos if it is whole, of the epoch, and behind after.
func viewAt(b []byte, pos int, epoch, after uint64) (v view, ok bool) {
	if pos < 0 || len(b)-pos < recordHeader {
		return v, false
	}
	h := b[pos:]
	v.seq = binary.BigEndian.Uint64(h[8:])
	n := int64(binary.BigEndian.Uint32(h))
	if v.seq <= after || v.seq-after > seqWindow && after > 0 || h[16]&^flagsKnown != 0 || n < 3 || n > int64(len(h)-recordHeader) {
		return v, false
	}
	v.at, v.size = pos, recordHeader+int(n)
	if recordSum(h[:v.size], epoch) != binary.BigEndian.Uint32(h[4:]) {
		return v, false
	}
	v.flags, v.priority, v.ttl = h[16], h[17], binary.BigEndian.Uint16(h[18:])
	v.delta = int32(binary.BigEndian.Uint32(h[20:]))
	v.body = h[recordHeader:v.size]
	if v.flags&flagAbsolute != 0 {
		if len(v.body) < 8 {
			return v, false
		}
		v.absolute, v.body = int64(binary.BigEndian.Uint64(v.body)), v.body[8:]
	}
	if len(v.body) < 2 {
		return v, false
	}
	t := int(binary.BigEndian.Uint16(v.body))
	return v, t > 0 && t <= len(v.body)-2
}

// nextView finds the first whole record at or behind pos; one behind bytes that are none is found too.
func nextView(b []byte, pos int, epoch, after uint64) (view, bool) {
	for ; len(b)-pos >= recordHeader; pos++ {
		if v, ok := viewAt(b, pos, epoch, after); ok {
			return v, true
		}
	}
	return view{}, false
}

func (v *view) time(created int64) time.Time {
	if v.flags&flagAbsolute != 0 {
		return time.UnixMilli(v.absolute)
	}
	return time.UnixMilli(created + int64(v.delta))
}

// record copies: v belongs to a buffer that is used again.
func (v *view) record(created int64) Record {
	n := 2 + int(binary.BigEndian.Uint16(v.body))
	return Record{
		Seq: v.seq, Time: v.time(created), Topic: string(v.body[2:n]), Payload: append([]byte{}, v.body[n:]...), QoS: v.flags & flagQoS1,
	}
}

// ttlCode is a time to live in 16 bits: the unit (seconds, minutes, hours, days) in the upper two, rounded up. 0 is for ever.
func ttlCode(d time.Duration) uint16 {
	for i, unit := range []time.Duration{time.Second, time.Minute, time.Hour, 24 * time.Hour} {
		if n := (d + unit - 1) / unit; n < 1<<14 {
			return uint16(i)<<14 | uint16(n)
		}
	}
	return 1<<16 - 1
}
