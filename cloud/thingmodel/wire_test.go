package thingmodel

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// kindsOf are the topics of testdata/wire.txt.
var kindsOf = map[string]topic.Kind{"property/post": topic.PropertyPost, "property/restore": topic.PropertyRestore, "desired/get": topic.DesiredGet,
	"desired/delete": topic.DesiredDelete, "event/post": topic.EventPost, "template/get": topic.TemplateGet}

// TestWire plays testdata/wire.txt, byte by byte: → topic and payload of the device, ← the hub's answer. A line "desired"
// has an application keep values for the device, which is away. Then the same in CBOR: the answers must say the same.
func TestWire(t *testing.T) {
	script, err := os.ReadFile("testdata/wire.txt")
	if err != nil {
		t.Fatal(err)
	}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		for _, cbor := range []bool{false, true} {
			r := newRig(t, db)
			asked := ""
			for i, line := range strings.Split(string(script), "\n") {
				word, rest, _ := strings.Cut(line, " ")
				switch word {
				case "", "#":
				case "desired":
					if res, err := r.things.SetProperty(t.Context(), r.device.Identity, Setting{Property: []byte(rest), Desired: true}); err != nil || !res.Kept {
						t.Fatalf("line %d: %+v, %v", i+1, res, err)
					}
				case "→":
					name, payload, _ := strings.Cut(rest, " ")
					if asked = r.ask(kindsOf[name], payload, cbor); strings.Contains(asked, "\n") {
						t.Fatalf("line %d: %s", i+1, asked)
					}
				case "←":
					if asked != rest {
						t.Errorf("line %d (CBOR %v):\ngot  %s\nwant %s", i+1, cbor, asked, rest)
					}
				default:
					t.Fatalf("line %d: %q", i+1, line)
				}
			}
		}
	})
}

// ask sends a payload, in CBOR when it is wanted and possible, and returns the answer as JSON.
func (r *rig) ask(k topic.Kind, payload string, cbor bool) string {
	r.t.Helper()
	m := r.message(k, "", payload)
	if b, err := codec.ToCBOR(m.Payload, codec.DefaultLimits()); cbor && err == nil {
		m.Payload, m.CBOR = b, true
	}
	r.line.mu.Lock()
	r.line.got = nil
	r.line.mu.Unlock()
	_ = r.path.Do(context.Background(), m) // a refusal has an answer as well
	r.line.mu.Lock()
	defer r.line.mu.Unlock()
	if len(r.line.got) != 1 {
		return "no answer\n"
	}
	answer := r.line.got[0].Payload
	if m.CBOR {
		if codec.Detect(answer) != codec.CBOR {
			return "the answer is no CBOR\n"
		}
		var err error
		if answer, err = codec.ToJSON(answer, codec.DefaultLimits()); err != nil {
			return err.Error() + "\n"
		}
	}
	return string(answer)
}

// TestCodes has each of the protocol's codes of the thing model where the page says it; 100054 is the registry's.
func TestCodes(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := newRig(t, db)
		ctx, dev := t.Context(), r.device.Identity
		command := func(c Command, react func(string, []byte) error) func() error {
			return func() error {
				r.caller.react = react
				_, err := r.things.Command(ctx, dev, c)
				return err
			}
		}
		set := func(property string) func() error {
			return func() error {
				r.caller.react = func(string, []byte) error { return ErrOffline }
				_, err := r.things.SetProperty(ctx, dev, Setting{Property: []byte(property)})
				return err
			}
		}
		silent := func(string, []byte) error { return nil }
		for _, tt := range []struct {
			what string
			do   func() error
			want message.Code
		}{
			{"input that is not defined", command(Command{Identifier: "down", Input: []byte(`{"x":1}`)}, silent), message.CodeNoSuchIdentifier},
			{"a device that is away", command(Command{Identifier: "down"}, func(string, []byte) error { return ErrOffline }), message.CodeNotOnline},
			{"a device that does not listen", command(Command{Identifier: "down"}, func(string, []byte) error { return ErrNotSubscribed }), message.CodeNotOnline},
			{"set on a device that is away", set(`{"t":20}`), message.CodeNotOnline},
			{"no answer in time", command(Command{Identifier: "down", Timeout: 20 * time.Millisecond}, silent), message.CodeCommandTimeout},
			{"an answer that does not fit", command(Command{Identifier: "down"}, r.answer(`{"RequestID":"ID","RetCode":0,"Identifier":"down","Output":{"now":"x"}}`)), message.CodeBadCommandReply},
			{"an answer without RetCode", command(Command{Identifier: "down"}, r.answer(`{"RequestID":"ID"}`)), message.CodeBadCommandReply},
			{"an answer with a RetCode in quotes", command(Command{Identifier: "down"}, r.answer(`{"RequestID":"ID","RetCode":"0","Identifier":"down","Output":{"now":7}}`)), message.CodeOK},
			{"no such command", command(Command{Identifier: "up"}, silent), message.CodeNoSuchCommand},
			{"input out of range", command(Command{Identifier: "down", Input: []byte(`{"v":10}`)}, silent), message.CodeRange},
			{"set of a property that is read-only", set(`{"h":20}`), message.CodeReadOnly},
			{"set of a property that is not defined", set(`{"x":20}`), message.CodePropertyUndefined},
			{"set out of range", set(`{"t":2000}`), message.CodeRange},
			{"set of a wrong type", set(`{"t":"x"}`), message.CodeBad},
		} {
			if err := tt.do(); CodeOf(err) != tt.want {
				t.Errorf("%s: %d (%v), want %d", tt.what, CodeOf(err), err, tt.want)
			}
		}
		for _, tt := range []struct {
			kind    topic.Kind
			payload string
			want    message.Code
		}{
			{topic.PropertyPost, `{"RequestID":"1","Property":{"x":{"Value":1}}}`, message.CodePropertyUndefined},
			{topic.PropertyPost, `{"RequestID":"1","Property":{"t":{"Value":101}}}`, message.CodeRange},
			{topic.PropertyPost, `{"RequestID":"1","Property":{"t":{"Value":"hot"}}}`, message.CodeBad},
			{topic.PropertyPost, `{"RequestID":"1","Property":{"t":{"Value":1,"Time":"noon"}}}`, message.CodeTimestamp},
			{topic.PropertyPost, `{"RequestID":"1"}`, message.CodeMissing},
			{topic.PropertyPost, `{"RequestID"`, message.CodeBad},
			{topic.EventPost, `{"RequestID":"1","Identifier":"boom"}`, message.CodeNoSuchEvent},
			{topic.EventPost, `{"RequestID":"1","Identifier":"alarm","Output":{"x":1}}`, message.CodeNoSuchIdentifier},
			{topic.EventPost, `{"RequestID":"1","Identifier":"alarm","Output":{"code":10}}`, message.CodeRange},
			{topic.EventPost, `{"RequestID":"1"}`, message.CodeMissing},
			{topic.DesiredDelete, `{"RequestID":"1"}`, message.CodeMissing},
		} {
			doc, err := codec.Decode([]byte(r.send(tt.kind, "", tt.payload)), codec.DefaultLimits())
			if err != nil {
				t.Fatalf("%s: %v", tt.payload, err)
			}
			if code, ok := retCode(doc.Root()); !ok || code != tt.want {
				t.Errorf("%v %s: %d, want %d", tt.kind, tt.payload, code, tt.want)
			}
			doc.Release()
		}
	})
}

// answer makes the device answer commands; ID stands for the request's.
func (r *rig) answer(payload string) func(string, []byte) error {
	return func(_ string, sent []byte) error {
		doc, err := codec.Decode(sent, codec.DefaultLimits())
		if err != nil {
			return err
		}
		defer doc.Release()
		id, ok := doc.Root().Get("RequestID").Str()
		if !ok {
			return errors.New("the command has no RequestID")
		}
		id = strings.Clone(id)
		m := r.message(topic.CommandReply, id, strings.ReplaceAll(payload, "ID\"", id+"\""))
		go func() { _ = r.path.Do(context.Background(), m) }() // its answer arrives or the call times out
		return nil
	}
}
