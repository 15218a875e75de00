package shadowdoc

import (
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/message"
)

// Outcome is what a request makes of a document.
type Outcome struct {
	// Next is the document to store; nil when the request changed nothing or was refused.
	Next *Document
	// Code is what the device is told: message.CodeOK, CodeVersionConflict, CodeBad for a malformed request, CodeRange
	// for a document that would be too large or too deep.
	Code message.Code

	doc   *Document // Next, or the document as it stays
	at    int64
	delta bool
	merge bool
}

// Document returns the document as it is after the request.
func (o *Outcome) Document() *Document { return o.doc }

// AppendReply appends the one message that answers a device's request, in at most limit bytes (0: any number): a reply,
// with Delta if it was asked for and fits, or on a version conflict the control message with the whole state.
func (o *Outcome) AppendReply(dst []byte, limit int) []byte {
	if o.Code == message.CodeVersionConflict {
		return o.doc.AppendConflict(dst, limit)
	}
	start := len(dst)
	dst = appendReplyHead(dst, o.Code)
	if head := len(dst); o.delta {
		dst = o.doc.appendDelta(append(dst, `,"Delta":`...), o.merge)
		if limit > 0 && len(dst)-start+tailSize > limit {
			dst = dst[:head]
		}
	}
	return appendTail(dst, o.doc.Version, o.at)
}

// tailSize is the most that appendTail adds.
const tailSize = len(`},"Version":-2147483648,"Timestamp":-9223372036854775808}`)

// AppendDelta appends the desired keys whose values differ from what is reported, as an object; with merge, of nested
// objects only the members that differ.
func (d *Document) AppendDelta(dst []byte, merge bool) []byte { return d.appendDelta(dst, merge) }

func (d *Document) appendDelta(dst []byte, merge bool) []byte {
	dst = append(dst, '{')
	first := true
	for i := range d.desired {
		e := &d.desired[i]
		reported, ok := d.reported.value(e.key)
		if ok && same(e.value, reported) {
			continue
		}
		value := e.value
		if merge && ok {
			if value = difference(e.value, reported); value == "" {
				continue
			}
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(codec.AppendString(dst, e.key), ':')
		dst = append(dst, value...)
	}
	return append(dst, '}')
}
