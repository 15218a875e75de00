package driver

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// Version is that of the protocol.
const Version = 1

// Limits of the lines.
const (
	MaxLine    = 512 << 10 // bytes, the newline included
	MaxPayload = 256 << 10 // bytes of a message's payload
	maxText    = 1024      // bytes of a log line, a name
)

// Line is one line of either side. Which fields are there depends on Type.
type Line struct {
	Type    string          `json:"type"`
	Version int             `json:"version,omitempty"` // hello, welcome
	Name    string          `json:"name,omitempty"`    // hello
	Config  json.RawMessage `json:"config,omitempty"`  // welcome
	Devices []Pair          `json:"devices,omitempty"` // welcome
	Product string          `json:"product,omitempty"` // attach, detach, attached, detached
	Device  string          `json:"device,omitempty"`
	ID      int64           `json:"id,omitempty"` // publish, ack, nack, ping, pong
	Topic   string          `json:"topic,omitempty"`
	QoS     *byte           `json:"qos,omitempty"`     // publish: 1 unless it says 0
	Payload json.RawMessage `json:"payload,omitempty"` // one of these three
	Text    *string         `json:"text,omitempty"`
	Base64  *string         `json:"base64,omitempty"`
	Retry   bool            `json:"retry,omitempty"`   // nack: sending it again later may help
	Level   string          `json:"level,omitempty"`   // log
	Message string          `json:"message,omitempty"` // log, error, nack
}

// Pair names a device.
type Pair struct {
	Product string `json:"product"`
	Device  string `json:"device"`
}

// Errors of reading a line.
var (
	ErrLong  = fmt.Errorf("driver: a line of more than %d bytes", MaxLine)
	ErrForm  = errors.New("driver: the line is not a JSON object with a type")
	errBytes = errors.New("driver: want one of payload, text, base64, of at most 262144 bytes")
)

// ParseLine reads a line without its newline. Unknown fields are ignored.
func ParseLine(b []byte) (l Line, err error) {
	if len(b) >= MaxLine {
		return l, ErrLong
	}
	if err := json.Unmarshal(b, &l); err != nil || l.Type == "" {
		return l, ErrForm
	}
	return l, nil
}

// Append adds the line with its newline.
func (l *Line) Append(dst []byte) []byte {
	b, err := json.Marshal(l)
	if err != nil {
		return dst // a RawMessage that is no JSON, which nobody puts in
	}
	return append(append(dst, b...), '\n')
}

// body is the payload of a publish.
func (l *Line) body() ([]byte, error) {
	n := 0
	var b []byte
	var err error
	if len(l.Payload) > 0 {
		b, n = l.Payload, n+1
	}
	if l.Text != nil {
		b, n = []byte(*l.Text), n+1
	}
	if l.Base64 != nil {
		b, err = base64.StdEncoding.DecodeString(*l.Base64)
		n++
	}
	if n != 1 || err != nil || len(b) > MaxPayload {
		return nil, errBytes
	}
	return b, nil
}

// setBody puts a payload in: as JSON when it is some, else as text, else as base64.
func (l *Line) setBody(b []byte) {
	switch {
	case json.Valid(b):
		l.Payload = b
	case utf8.Valid(b):
		s := string(b)
		l.Text = &s
	default:
		s := base64.StdEncoding.EncodeToString(b)
		l.Base64 = &s
	}
}

// lines reads lines of a bounded length; one that is longer is read to its end and told as ErrLong.
type lines struct{ r *bufio.Reader }

func newLines(r io.Reader) lines { return lines{bufio.NewReaderSize(r, 16<<10)} }

// next returns the next line, valid until the one after.
func (s lines) next(most int) (line []byte, err error) {
	long := false
	for {
		part, err := s.r.ReadSlice('\n')
		if len(line)+len(part) > most {
			long, line = true, nil
		}
		if !long {
			line = append(line, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil:
			return nil, err // what has no newline is no line
		case long:
			return nil, ErrLong
		}
		return line[:len(line)-1], nil
	}
}
