package buffer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// Record is one message that waits for the hub.
type Record struct {
	// Seq is its place in the queue, given by Append, never reused.
	Seq uint64
	// Time is when it was accepted, kept to the millisecond.
	Time    time.Time
	Topic   string
	Payload []byte
	QoS     byte
}

// The stored value: u8 format, u8 QoS, u64 time in Unix ms, u16 length of the
// topic, topic, payload; big endian. The key is the sequence number as u64.
const (
	recordFormat = 1
	recordHeader = 1 + 1 + 8 + 2
	maxTopic     = 1<<16 - 1
	// overhead is what the database adds for a record, about.
	overhead = 8 + 16
)

var errRecord = errors.New("buffer: damaged record")

func (r *Record) check() error {
	switch {
	case r.Topic == "" || len(r.Topic) > maxTopic:
		return fmt.Errorf("buffer: a topic of %d bytes", len(r.Topic))
	case r.QoS > 1:
		return fmt.Errorf("buffer: QoS %d", r.QoS)
	}
	return nil
}

// size is what the record counts against MaxBytes.
func (r *Record) size() int64 { return int64(overhead + recordHeader + len(r.Topic) + len(r.Payload)) }

func storedSize(value []byte) int64 { return int64(overhead + len(value)) }

func (r *Record) encode() []byte {
	b := make([]byte, 0, recordHeader+len(r.Topic)+len(r.Payload))
	b = append(b, recordFormat, r.QoS)
	b = binary.BigEndian.AppendUint64(b, uint64(r.Time.UnixMilli()))
	b = binary.BigEndian.AppendUint16(b, uint16(len(r.Topic)))
	b = append(b, r.Topic...)
	return append(b, r.Payload...)
}

// decode copies: v belongs to the database's transaction.
func decode(seq uint64, v []byte) (Record, error) {
	if len(v) < recordHeader {
		return Record{}, fmt.Errorf("%w: %d bytes", errRecord, len(v))
	}
	if v[0] != recordFormat {
		return Record{}, fmt.Errorf("%w: format %d", errRecord, v[0])
	}
	n := int(binary.BigEndian.Uint16(v[10:]))
	if v[1] > 1 || n == 0 || len(v) < recordHeader+n {
		return Record{}, fmt.Errorf("%w: QoS %d, topic of %d bytes in %d", errRecord, v[1], n, len(v))
	}
	return Record{
		Seq:     seq,
		Time:    time.UnixMilli(int64(binary.BigEndian.Uint64(v[2:]))),
		Topic:   string(v[recordHeader : recordHeader+n]),
		Payload: append([]byte{}, v[recordHeader+n:]...),
		QoS:     v[1],
	}, nil
}

func key(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }

func sequence(k []byte) uint64 {
	if len(k) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(k)
}
