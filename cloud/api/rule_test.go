package api

import (
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/hawser-iot/hawser/cloud/account"
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
		writer := account.WithPrincipal(t.Context(), &account.Principal{Permissions: account.RuleWrite})
		out, err := ruleOf(writer, &rules.Rule{Actions: first})
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
		got, err := publishTopic("topic", dev, name)
		if err != nil {
			return
		}
		if p, err := topic.Parse(got); err != nil || p.Kind != topic.Custom || p.Device != dev || topic.HasWildcard(got) {
			t.Errorf("%q became %q", name, got)
		}
	})
}

func TestIfMatch(t *testing.T) {
	for header, want := range map[string]int64{`"0"`: 0, `"42"`: 42, ` "42" `: 42, `"7-a1b2"`: 7} {
		if got, any, ok := parseIfMatch(header); !ok || any || got != want {
			t.Errorf("%s: got %v, %v, %v", header, got, any, ok)
		}
	}
	for _, header := range []string{"", "*"} {
		if _, any, ok := parseIfMatch(header); !ok || !any {
			t.Errorf("%q: want no condition", header)
		}
	}
	for _, header := range []string{"42", `"042"`, `W/"42"`, `"4","5"`, `"x"`, `""42""`, `"`, `""`, `"-1"`, `"7 8"`} {
		if _, _, ok := parseIfMatch(header); ok {
			t.Errorf("%s was taken", header)
		}
	}
}

// FuzzHeaders holds that what is taken of a condition is what an answer could have said.
func FuzzHeaders(f *testing.F) {
	for _, s := range []string{`"7"`, `"7-0a1b"`, `*`, `W/"x", "y"`, `"99999999999999999999"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		revision, any, ok := parseIfMatch(s)
		if ok && !any && !strings.HasPrefix(strings.TrimSpace(s), `"`+strconv.FormatInt(revision, 10)) {
			t.Errorf("%q is read as %d", s, revision)
		}
		if matchesAny(s, `"tag"`) && !strings.Contains(s, `"tag"`) && strings.TrimSpace(s) != "*" {
			t.Errorf("%q lists the tag", s)
		}
		if goodKey(s) && (len(s) > maxKey || strings.ContainsAny(s, "\r\n\x00")) {
			t.Errorf("%q is taken as a key", s)
		}
		if cursor, err := numberCursor(&s); err == nil && cursor < 0 {
			t.Errorf("cursor %q is read as %d", s, cursor)
		}
	})
}
