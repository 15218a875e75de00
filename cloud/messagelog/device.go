package messagelog

import (
	"context"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/message"
)

// MaxLines is how many lines one message on log/post may have.
const MaxLines = 100

// levels are the levels of a device's line; those from warning on are kept where only errors are wanted.
var levels = map[string]uplink.Result{"debug": uplink.OK, "info": uplink.OK, "warning": uplink.Refused, "error": uplink.Failed}

// line is one line that a device logged.
type line struct {
	at    time.Time
	level string
	text  string
}

var _ uplink.Handler = (*Log)(nil)

// Handle takes a device's message on log/post: {"Lines":[{"Time":ms,"Level":"info","Text":"…"}]}, or a text that is one line.
func (l *Log) Handle(_ context.Context, m *uplink.Message) error {
	level := l.Level(m.Product)
	if level == uplink.LevelOff {
		m.Note(message.CodeNoPermission, "the product's message log is off")
		return nil
	}
	lines, err := linesOf(m)
	if err != nil {
		return err
	}
	dev, id := m.Device, m.ID
	m.After(func(err error) {
		if err != nil {
			return
		}
		for _, line := range lines {
			// A line's level is the device's opinion of itself; the record as such is in order.
			if !wants(level, levels[line.level]) {
				continue
			}
			l.add(&Record{At: line.at, Kind: KindDevice, Result: uplink.OK, ID: id, Product: dev.Product, Device: dev.SN, Action: line.level,
				Payload: []byte(line.text), Size: len(line.text)})
		}
	})
	return nil
}

// linesOf reads the lines of a message. What it returns shares no memory with the message.
func linesOf(m *uplink.Message) ([]line, error) {
	root, err := m.Root()
	if err != nil { // a text
		if !utf8.Valid(m.Payload) || len(m.Payload) == 0 {
			return nil, uplink.Refuse(message.CodeBad, "log/post takes Lines, or a text")
		}
		return []line{{at: m.At, level: "info", text: string(m.Payload)}}, nil
	}
	if text, ok := root.Str(); ok {
		return []line{{at: m.At, level: "info", text: strings.Clone(text)}}, nil
	}
	list := root.Get("Lines")
	if list.Kind() != codec.Array {
		return nil, uplink.Refuse(message.CodeMissing, "Lines is missing or no array")
	}
	if list.Len() > MaxLines {
		return nil, uplink.Refuse(message.CodeRange, "Lines has more than 100 elements")
	}
	lines := make([]line, 0, list.Len())
	var bad error
	list.Elems(func(_ int, v codec.Value) bool {
		var one line
		if one, bad = lineOf(v, m.At); bad == nil {
			lines = append(lines, one)
		}
		return bad == nil
	})
	return lines, bad
}

// lineOf reads one of Lines. A time that is absent, or in the future, is when the message came.
func lineOf(v codec.Value, now time.Time) (line, error) {
	text, ok := v.Get("Text").Str()
	if !ok {
		return line{}, uplink.Refuse(message.CodeMissing, "a line has no Text")
	}
	l := line{at: now, level: "info", text: strings.Clone(text)}
	if ms, ok := v.Get("Time").Int(); ok && ms > 0 && ms < now.UnixMilli() {
		l.at = time.UnixMilli(ms)
	}
	name, _ := v.Get("Level").Str()
	switch name = strings.ToLower(name); name {
	case "":
	case "warn":
		l.level = "warning"
	case "fatal", "critical", "err":
		l.level = "error"
	default:
		if _, known := levels[name]; known {
			l.level = strings.Clone(name)
		}
	}
	return l, nil
}
