package republish

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/protocol/ident"
)

const product = "0123456789abcdef"

func TestSend(t *testing.T) {
	origin := rules.Record{Action: 5, MessageID: 101, Device: ident.Device{Product: product, SN: "dev1"}, Hop: 1}
	tests := []struct {
		name, topic, result, want string // want "" is a permanent error
	}{
		{"fixed", "/" + product + "/dev9/set", `7`, "/" + product + "/dev9/set"},
		{"own device", "/${productSN}/${deviceSN}/set", `{}`, "/" + product + "/dev1/set"},
		{"field", "/" + product + "/${to}/set", `{"to":"dev2"}`, "/" + product + "/dev2/set"},
		{"field before own", "/" + product + "/${deviceSN}/set", `{"deviceSN":"dev3"}`, "/" + product + "/dev3/set"},
		{"function's name", "/" + product + "/${deviceSN()}/set", `{"deviceSN()":"dev4"}`, "/" + product + "/dev4/set"},
		{"path", "/" + product + "/${a.b}/set", `{"a":{"b":"dev5"}}`, "/" + product + "/dev5/set"},
		{"number", "/" + product + "/${n}/a/${n}", `{"n":1234}`, "/" + product + "/1234/a/1234"},
		{"missing", "/" + product + "/${to}/set", `{}`, ""},
		{"null", "/" + product + "/${to}/set", `{"to":null}`, ""},
		{"a slash", "/" + product + "/${to}/set", `{"to":"dev1/x"}`, ""},
		{"no device's name", "/" + product + "/${to}/set", `{"to":"a"}`, ""},
		{"result is no object", "/" + product + "/${to}/set", `7`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []rules.Publication
			config, err := json.Marshal(Config{Topic: tt.topic, QoS: 1})
			if err != nil {
				t.Fatal(err)
			}
			s, err := New(config, rules.Env{Publish: func(_ context.Context, p rules.Publication) error {
				got = append(got, p)
				return nil
			}})
			if err != nil {
				t.Fatalf("New: %v", err)
			}
			rec := origin
			rec.Result = []byte(tt.result)
			err = s.Send(t.Context(), []rules.Record{rec})
			if tt.want == "" {
				if !errors.Is(err, rules.ErrPermanent) || len(got) != 0 {
					t.Errorf("got %v, %v, want a permanent error", got, err)
				}
				return
			}
			if err != nil || len(got) != 1 || got[0].Topic != tt.want || got[0].Hop != 2 || got[0].QoS != 1 || got[0].MessageID != 101 ||
				got[0].Key != rec.Key() || string(got[0].Payload) != tt.result {
				t.Errorf("got %+v, %v, want topic %s", got, err, tt.want)
			}
		})
	}
}

func TestConfig(t *testing.T) {
	for _, bad := range []string{``, `{}`, `{"topic":"/${a}/${b}/set","qos":2}`, `{"topic":"/` + product + `/${a/set"}`, `{"topic":"/` + product + `/${}/set"}`,
		`{"topic":"/$system/` + product + `/dev1/shadow/get"}`, `{"topic":"/` + product + `/$broadcast/x"}`, `{"topic":"/` + product + `/dev1/a/+"}`, `{"topic":"/a/b","x":1}`} {
		if _, err := New(json.RawMessage(bad), rules.Env{}); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}

func TestPreview(t *testing.T) {
	config, err := json.Marshal(Config{Topic: "/${productSN}/${deviceSN}/set", QoS: 1})
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(config, rules.Env{Publish: func(context.Context, rules.Publication) error {
		t.Error("a preview has published")
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	for result, want := range map[string]string{`{"a":1}`: `{"a":1}`, "\xff\x00": "base64:/wA="} {
		got, err := s.(rules.Previewer).Preview(&rules.Record{Device: ident.Device{Product: product, SN: "dev1"}, Result: []byte(result)})
		if err != nil || got.Statement != want || got.Target != "/"+product+"/dev1/set, QoS 1" {
			t.Errorf("%q: %+v, %v", result, got, err)
		}
	}
}
