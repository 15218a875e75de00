package agentmsg

import (
	"encoding/binary"
	"fmt"

	"github.com/hawser-iot/hawser/protocol/codec"
)

// Record is a message of the agent's, or of a device behind it.
type Record struct {
	Seq     uint64
	Time    int64 // Unix ms: when the agent took it
	QoS     byte
	Topic   string
	Payload []byte
}

// Writer packs records for a Batch. Their numbers ascend.
type Writer struct {
	body   []byte
	topics map[string]int
	first  uint64
	last   uint64
	time   int64
	n      int
}

// Len is how many bytes the data have so far, about; Count how many records; Span their first and last number.
func (w *Writer) Len() int { return len(w.body) + 5 }

// Count is how many records were added.
func (w *Writer) Count() int { return w.n }

// First is the number of the first record.
func (w *Writer) First() uint64 { return w.first }

// Add appends a record: its number and time as differences to those of the record before, its topic as text or, when an earlier record of the batch
// has the same one, as the place of that text among the texts.
func (w *Writer) Add(r *Record) {
	if w.topics == nil {
		w.topics = make(map[string]int)
	}
	if w.n == 0 {
		w.first, w.last = r.Seq, r.Seq
	}
	w.body = appendHead(w.body, 4, 5)
	w.body = appendHead(w.body, 0, r.Seq-w.last)
	w.body = appendInt(w.body, r.Time-w.time)
	w.body = appendHead(w.body, 0, uint64(r.QoS))
	if at, ok := w.topics[r.Topic]; ok {
		w.body = appendHead(w.body, 0, uint64(at))
	} else {
		w.topics[r.Topic] = len(w.topics)
		w.body = append(appendHead(w.body, 3, uint64(len(r.Topic))), r.Topic...)
	}
	w.body = append(appendHead(w.body, 2, uint64(len(r.Payload))), r.Payload...)
	w.last, w.time = r.Seq, r.Time
	w.n++
}

// Data are the records so far, as a CBOR array.
func (w *Writer) Data() []byte {
	return append(appendHead(make([]byte, 0, len(w.body)+5), 4, uint64(w.n)), w.body...)
}

// Reset forgets the records.
func (w *Writer) Reset() {
	clear(w.topics)
	*w = Writer{body: w.body[:0], topics: w.topics}
}

// Records reads what a Writer has packed: n records from the number first on. Each is called for one after the other; what it is given
// is valid until release, which must be called once when there is no error.
func Records(data []byte, first uint64, n int) (records []Record, release func(), err error) {
	if n < 1 || n > MaxRecords || len(data) > MaxData {
		return nil, nil, fmt.Errorf("%w: %d records, %d bytes", ErrMalformed, n, len(data))
	}
	d, err := codec.DecodeAs(codec.CBOR, data, codec.Limits{Size: MaxData, Depth: 2, Count: 6*n + 1})
	if err != nil {
		return nil, nil, fmt.Errorf("%w: records: %w", ErrMalformed, err)
	}
	rd := reader{seq: first, records: make([]Record, 0, n)}
	root := d.Root()
	if root.Kind() != codec.Array || root.Len() != n {
		d.Release()
		return nil, nil, fmt.Errorf("%w: not an array of %d records", ErrMalformed, n)
	}
	root.Elems(func(_ int, v codec.Value) bool { return rd.add(v) })
	if len(rd.records) != n {
		d.Release()
		return nil, nil, fmt.Errorf("%w: record %d", ErrMalformed, len(rd.records))
	}
	return rd.records, d.Release, nil
}

// reader is the state between records.
type reader struct {
	seq     uint64
	time    int64
	topics  []string
	records []Record
}

func (rd *reader) add(v codec.Value) bool {
	if v.Kind() != codec.Array || v.Len() != 5 {
		return false
	}
	var r Record
	good := true
	v.Elems(func(i int, e codec.Value) bool {
		good = good && rd.field(&r, i, e)
		return good
	})
	if good {
		rd.records = append(rd.records, r)
	}
	return good
}

func (rd *reader) field(r *Record, i int, e codec.Value) (ok bool) {
	n, isInt := e.Int()
	switch i {
	case 0:
		if !isInt || n < 0 || n == 0 != (len(rd.records) == 0) || uint64(n) > maxSeq-rd.seq {
			return false
		}
		rd.seq += uint64(n)
		r.Seq = rd.seq
	case 1:
		sum := rd.time + n
		if !isInt || (sum > rd.time) != (n > 0) {
			return false
		}
		rd.time, r.Time = sum, sum
	case 2:
		r.QoS = byte(n)
		return isInt && (n == 0 || n == 1)
	case 3:
		if isInt {
			if n < 0 || n >= int64(len(rd.topics)) {
				return false
			}
			r.Topic = rd.topics[n]
			return true
		}
		if r.Topic, ok = e.Str(); !ok || r.Topic == "" || len(r.Topic) > 1<<16-1 {
			return false
		}
		rd.topics = append(rd.topics, r.Topic)
	case 4:
		r.Payload, ok = e.Bytes()
		return ok
	}
	return true
}

// appendHead appends the first bytes of a CBOR value (RFC 8949 section 3).
func appendHead(b []byte, major byte, n uint64) []byte {
	m := major << 5
	switch {
	case n < 24:
		return append(b, m|byte(n))
	case n < 1<<8:
		return append(b, m|24, byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(b, m|25), uint16(n))
	case n < 1<<32:
		return binary.BigEndian.AppendUint32(append(b, m|26), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(b, m|27), n)
}

func appendInt(b []byte, n int64) []byte {
	if n < 0 {
		return appendHead(b, 1, uint64(^n))
	}
	return appendHead(b, 0, uint64(n))
}
