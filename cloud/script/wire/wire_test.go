package wire_test

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/script/wire"
)

// message is any of the messages.
type message interface {
	Append([]byte) []byte
	Decode([]byte) error
}

// made returns an empty message of a type, nil for an unknown one.
func made(t wire.Type) message {
	switch t {
	case wire.TypeHello:
		return new(wire.Hello)
	case wire.TypeReady:
		return new(wire.Ready)
	case wire.TypeScript:
		return new(wire.Script)
	case wire.TypeForget:
		return new(wire.Forget)
	case wire.TypeCall:
		return new(wire.Call)
	case wire.TypeResult:
		return new(wire.Result)
	}
	return nil
}

func all() []message {
	return []message{
		&wire.Hello{CPU: 50 * time.Millisecond, Wall: time.Second, Memory: 64 << 20, Result: 1 << 16, Console: 4096},
		&wire.Ready{Limits: true},
		&wire.Script{ID: 7, Source: "function rawDataToJSON() { return {} }"},
		&wire.Forget{ID: 7},
		&wire.Call{Seq: 1 << 40, Script: 7, Function: wire.Up, Verbose: true, Topic: "/p/d/upload", Payload: []byte{0, 255}},
		&wire.Result{Seq: 1 << 40, Status: wire.Thrown, Line: 3, Column: 9, CPU: time.Millisecond, Wall: 2 * time.Millisecond, Memory: 99,
			Reason: "bad", Console: "seen\n", Body: []byte(`{}`)},
	}
}

func TestRoundTrip(t *testing.T) {
	var b []byte
	for _, m := range all() {
		b = m.Append(b)
	}
	r := wire.NewReader(bytes.NewReader(b), wire.MaxFrame)
	for _, want := range all() {
		typ, body, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		got := made(typ)
		if err := got.Decode(body); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
		for n := range body {
			if err := made(typ).Decode(body[:n]); !errors.Is(err, wire.ErrFrame) {
				t.Errorf("%T cut to %d bytes: %v", got, n, err)
			}
		}
		if err := made(typ).Decode(append(body[:len(body):len(body)], 0)); !errors.Is(err, wire.ErrFrame) {
			t.Errorf("%T with a byte too many: %v", got, err)
		}
	}
	if _, _, err := r.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
}

func TestBadFrames(t *testing.T) {
	for name, b := range map[string][]byte{
		"empty":    {0, 0, 0, 0, 1},
		"too long": {0, 0, 0, 0x80, 1},
		"over max": {101, 0, 0, 0, 1},
		"cut head": {1, 0},
		"cut body": {9, 0, 0, 0, 1, 2},
	} {
		if _, _, err := wire.NewReader(bytes.NewReader(b), 100).Next(); !errors.Is(err, wire.ErrFrame) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzFrames(f *testing.F) {
	var b []byte
	for _, m := range all() {
		b = m.Append(b)
		f.Add(m.Append(nil))
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		r := wire.NewReader(bytes.NewReader(b), 1<<16)
		for {
			typ, body, err := r.Next()
			if err != nil {
				return
			}
			m := made(typ)
			if m == nil || m.Decode(body) != nil {
				continue
			}
			// What is accepted is what would be written.
			if again := m.Append(nil); !bytes.Equal(again[5:], body) {
				t.Errorf("%T: %x is written as %x", m, body, again[5:])
			}
		}
	})
}
