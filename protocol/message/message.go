// Package message holds what the payloads of the device protocol look like: the wire structs of the thing model, of
// gateways and of the small system topics, the return codes, the RequestID and the MessageID.
//
// The structs marshal with codec.Marshal to JSON or CBOR, fields in the protocol's order. Stock devices read JSON by
// searching for strings, so Message is always the last key and holds no quotes. Nothing here looks at the values of
// properties: protocol/thing checks those. Shadow messages are protocol/shadowdoc's.
package message

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"

	"github.com/hawser-iot/hawser/protocol/codec"
)

// MaxRequestID bounds a RequestID in bytes; it is echoed into replies and, for commands, into topics.
const MaxRequestID = 64

// MaxSmallClient is the largest MQTT packet, topic included, that may be sent to a device that did not announce a larger
// receive buffer, in bytes.
const MaxSmallClient = 2048

// RequestID ties a reply to its request. Devices send it as string or number; it is kept and echoed as string.
type RequestID string

var _ json.Unmarshaler = (*RequestID)(nil)

// ErrRequestID is returned when a RequestID is neither a string nor an integer, or too long.
var ErrRequestID = errors.New("message: bad RequestID, want a string of at most 64 bytes or an integer")

// UnmarshalJSON accepts a string or an integer; null is the empty RequestID.
func (r *RequestID) UnmarshalJSON(b []byte) error {
	d, err := codec.DecodeAs(codec.JSON, b, codec.Limits{})
	if err != nil {
		return err
	}
	defer d.Release()
	id, code := requestID(d.Root())
	if code == CodeBad {
		return ErrRequestID
	}
	*r = RequestID(strings.Clone(id))
	return nil
}

// RequestIDOf returns the RequestID of a decoded request: CodeMissing when there is none or it is empty, CodeBad when it
// is neither a string nor an integer or is longer than MaxRequestID. The string shares the document's memory.
func RequestIDOf(request codec.Value) (string, Code) { return requestID(request.Get("RequestID")) }

func requestID(v codec.Value) (string, Code) {
	switch v.Kind() {
	case codec.Missing, codec.Null:
		return "", CodeMissing
	case codec.Int:
		n, _ := v.Int()
		return strconv.FormatInt(n, 10), CodeOK
	case codec.String:
		s, _ := v.Str()
		if s == "" {
			return "", CodeMissing
		}
		if len(s) <= MaxRequestID {
			return s, CodeOK
		}
	}
	return "", CodeBad
}

// Reply answers a request that has nothing to give back but the code.
type Reply struct {
	RequestID RequestID `json:"RequestID"`
	RetCode   Code      `json:"RetCode"`
	Message   string    `json:"Message"`
}

// NewReply returns the reply with the code's own text.
func NewReply(id RequestID, c Code) Reply { return Reply{id, c, c.Text()} }

// AppendReply appends a Reply as JSON to dst, without allocating. text is the Message: "" takes the code's own; quotes and
// backslashes in it become apostrophes and slashes, for a stock device would stop reading there.
func AppendReply(dst []byte, id string, c Code, text string) []byte {
	dst = append(dst, `{"RequestID":`...)
	dst = codec.AppendString(dst, id)
	dst = append(dst, `,"RetCode":`...)
	dst = strconv.AppendInt(dst, int64(c), 10)
	dst = append(dst, `,"Message":"`...)
	if text == "" {
		text = c.Text()
	}
	for i := range len(text) {
		dst = append(dst, plain(text[i]))
	}
	return append(dst, '"', '}')
}

// Plain returns text in the form that a Message may have: without quotes, backslashes, brackets and control characters.
func Plain(text string) string {
	b := []byte(strings.ToValidUTF8(text, "?"))
	for i, c := range b {
		b[i] = plain(c)
	}
	return string(b)
}

func plain(c byte) byte {
	switch c {
	case '"':
		return '\''
	case '\\':
		return '/'
	case '{', '[':
		return '('
	case '}', ']':
		return ')'
	}
	if c < ' ' {
		return ' '
	}
	return c
}
