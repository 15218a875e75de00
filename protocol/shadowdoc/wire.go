package shadowdoc

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/message"
)

// ErrTooLargeForDevice is wrapped by the error of Controls: one key with its desired value exceeds what the device can
// receive. The application must shorten the value, or the device announce a larger buffer.
var ErrTooLargeForDevice = errors.New("shadowdoc: desired key too large for the device")

// PayloadLimit is how long a payload may be so that the whole packet on this topic fits into buffer bytes: 2,048 for a
// device that announced nothing. It counts the fixed header, the topic and its length, and the packet id.
func PayloadLimit(buffer int, topic string) int {
	const header, topicLength, packetID = 4, 2, 2
	return max(buffer-header-topicLength-len(topic)-packetID, 1)
}

// detail is how much of the document a message shows; each step leaves out more.
type detail int

const (
	whole detail = iota
	withoutMetadata
	withoutReported
	bare // State with two empty objects: what is always small enough
)

// AppendDocument appends the whole document.
func (d *Document) AppendDocument(dst []byte) []byte { return d.appendDocument(dst, whole) }

// AppendGet appends the document for shadow/get_reply in at most limit bytes (0: any number): without Metadata if it
// would be longer, then without what is reported, then without what is desired.
func (d *Document) AppendGet(dst []byte, limit int) []byte {
	return fitting(dst, limit, d.appendDocument)
}

// AppendConflict appends the answer to a request with a stale version: the whole document in a control message with
// RetCode 100026, in at most limit bytes as AppendGet does it.
func (d *Document) AppendConflict(dst []byte, limit int) []byte {
	return fitting(dst, limit, func(dst []byte, much detail) []byte {
		dst = append(dst, `{"Method":"control","Payload":{"RetCode":`...)
		dst = strconv.AppendInt(dst, int64(message.CodeVersionConflict), 10)
		dst = d.appendState(append(dst, ','), much)
		return appendTail(dst, d.Version, d.Timestamp)
	})
}

// AppendControl appends the message that tells a device of all its desired keys, in at most limit bytes (0: any number)
// if leaving out Metadata is enough for that. Controls splits it where it is not.
func (d *Document) AppendControl(dst []byte, limit int) []byte {
	start := len(dst)
	if dst = d.appendControl(dst, d.desired, true); limit > 0 && len(dst)-start > limit {
		dst = d.appendControl(dst[:start], d.desired, false)
	}
	return dst
}

// Controls returns the control messages that bring a device all its desired keys, each of at most limit bytes (0: any
// number), to be sent one behind the other: one message if that is enough, else as few as possible, without Metadata. With no
// desired keys there is one that says so.
func (d *Document) Controls(limit int) ([][]byte, error) {
	if b := d.AppendControl(nil, limit); limit <= 0 || len(b) <= limit {
		return [][]byte{b}, nil
	}
	var out [][]byte
	for rest := d.desired; len(rest) > 0; {
		n, size := 0, len(d.appendControl(nil, nil, false))
		for n < len(rest) && size+rest[n].size() <= limit+1 { // the last key needs no comma
			size += rest[n].size()
			n++
		}
		if n == 0 {
			return nil, fmt.Errorf("%w: %q needs %d bytes, %d are there", ErrTooLargeForDevice, rest[0].key, size+rest[0].size()-1, limit)
		}
		out = append(out, d.appendControl(nil, rest[:n], false))
		rest = rest[n:]
	}
	return out, nil
}

// size is what the key takes in an object: name, colon, value and a comma.
func (e *entry) size() int {
	var scratch [128]byte
	return len(codec.AppendString(scratch[:0], e.key)) + len(e.value) + 2
}

// AppendReply appends the answer to a request that is not a version conflict. now is when it is given: the document
// may never have changed.
func (d *Document) AppendReply(dst []byte, code message.Code, now time.Time) []byte {
	dst = appendReplyHead(dst, code)
	return appendTail(dst, d.Version, now.Unix())
}

func appendReplyHead(dst []byte, code message.Code) []byte {
	dst = append(dst, `{"Method":"reply","Payload":{"RetCode":`...)
	return strconv.AppendInt(dst, int64(code), 10)
}

// appendTail ends the Payload and the message.
func appendTail(dst []byte, version int32, at int64) []byte {
	dst = strconv.AppendInt(append(dst, `},"Version":`...), int64(version), 10)
	dst = strconv.AppendInt(append(dst, `,"Timestamp":`...), at, 10)
	return append(dst, '}')
}

// fitting calls write with less and less detail until the result has at most limit bytes.
func fitting(dst []byte, limit int, write func([]byte, detail) []byte) []byte {
	start := len(dst)
	for much := whole; ; much++ {
		dst = write(dst[:start], much)
		if limit <= 0 || len(dst)-start <= limit || much == bare {
			return dst
		}
	}
}

func (d *Document) appendDocument(dst []byte, much detail) []byte {
	dst = d.appendState(append(dst, '{'), much)
	dst = strconv.AppendInt(append(dst, `,"Timestamp":`...), d.Timestamp, 10)
	dst = strconv.AppendInt(append(dst, `,"Version":`...), int64(d.Version), 10)
	return append(dst, '}')
}

// appendState appends the fields State and Metadata.
func (d *Document) appendState(dst []byte, much detail) []byte {
	reported, desired := d.reported, d.desired
	if much >= withoutReported {
		reported = nil
	}
	if much >= bare {
		desired = nil
	}
	dst = reported.appendValues(append(dst, `"State":{"Reported":`...))
	dst = desired.appendValues(append(dst, `,"Desired":`...))
	dst = append(dst, '}')
	if much >= withoutMetadata {
		return dst
	}
	dst = reported.appendMetadata(append(dst, `,"Metadata":{"Reported":`...))
	dst = desired.appendMetadata(append(dst, `,"Desired":`...))
	return append(dst, '}')
}

func (d *Document) appendControl(dst []byte, desired section, metadata bool) []byte {
	dst = append(dst, `{"Method":"control","Payload":{"RetCode":0,"State":{"Desired":`...)
	dst = append(desired.appendValues(dst), '}')
	if metadata {
		dst = desired.appendMetadata(append(dst, `,"Metadata":{"Desired":`...))
		dst = append(dst, '}')
	}
	return appendTail(dst, d.Version, d.Timestamp)
}

func (s section) appendValues(dst []byte) []byte {
	dst = append(dst, '{')
	for i := range s {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(codec.AppendString(dst, s[i].key), ':')
		dst = append(dst, s[i].value...)
	}
	return append(dst, '}')
}

func (s section) appendMetadata(dst []byte) []byte {
	dst = append(dst, '{')
	for i := range s {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(codec.AppendString(dst, s[i].key), ':')
		if s[i].meta != "" {
			dst = append(dst, s[i].meta...)
		} else {
			dst = appendStamp(dst, s[i].stamp)
		}
	}
	return append(dst, '}')
}

func appendStamp(dst []byte, stamp int64) []byte {
	dst = strconv.AppendInt(append(dst, `{"Timestamp":`...), stamp, 10)
	return append(dst, '}')
}
