package api

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/hawser-iot/hawser/cloud/apitype"
	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// What GET answers, PUT takes: an action that was read and written is the same when it is read again.
func FuzzAction(f *testing.F) {
	f.Add(`{"kind":"http","url":"https://example.com","headers":{"a":"b"}}`)
	f.Add(`{"id":"12","kind":"republish","topic":"/p/${d}/set","qos":1}`)
	f.Add(`{"kind":"x","kind":"y", "big":9007199254740993 , "deep":[{"id":1}]}`)
	f.Add(`null`)
	f.Fuzz(func(t *testing.T, text string) {
		if !json.Valid([]byte(text)) {
			return // the decoder of the body refuses it
		}
		first, err := actionsOf([]apitype.RuleAction{apitype.RuleAction(text)})
		if err != nil {
			if _, ok := problemOf(err); !ok {
				t.Fatalf("%q: %v is no problem", text, err)
			}
			return
		}
		out, err := ruleOf(&rules.Rule{Actions: first})
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		again, err := actionsOf(out.Actions)
		if err != nil || !reflect.DeepEqual(again, first) {
			t.Errorf("%q became %s: %+v, want %+v (%v)", text, out.Actions[0], again, first, err)
		}
	})
}

func FuzzPublishTopic(f *testing.F) {
	for _, s := range []string{"set", "/0123456789abcdef/lamp-1/set", "/$system/0123456789abcdef/lamp-1/password_reply", "a/+", "", "//"} {
		f.Add(s)
	}
	dev := ident.Device{Product: "0123456789abcdef", SN: "lamp-1"}
	f.Fuzz(func(t *testing.T, name string) {
		got, err := publishTopic(dev, name)
		if err != nil {
			return
		}
		if p, err := topic.Parse(got); err != nil || p.Kind != topic.Custom || p.Device != dev || topic.HasWildcard(got) {
			t.Errorf("%q became %q", name, got)
		}
	})
}

func TestIfMatch(t *testing.T) {
	for header, want := range map[string]int64{`"0"`: 0, `"42"`: 42, ` "42" `: 42} {
		if got, err := ifMatch(&header); err != nil || got == nil || *got != want {
			t.Errorf("%s: got %v, %v", header, got, err)
		}
	}
	for _, header := range []string{"", "*"} {
		if got, err := ifMatch(&header); err != nil || got != nil {
			t.Errorf("%q: got %v, %v, want no condition", header, got, err)
		}
	}
	for _, header := range []string{"42", `"042"`, `W/"42"`, `"4","5"`, `"x"`, `""42""`} {
		if _, err := ifMatch(&header); err == nil {
			t.Errorf("%s was taken", header)
		}
	}
}
