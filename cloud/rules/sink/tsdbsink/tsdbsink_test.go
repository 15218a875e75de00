package tsdbsink

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/cloud/rules/outbound"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/testbed/harness/leak"
)

func TestMain(m *testing.M) { leak.VerifyTestMain(m) }

// handle is a stored connector as a sink sees it.
type handle struct{ conn *Conn }

func (h handle) Use(f func(rules.Connection) error) error {
	if h.conn == nil {
		return rules.ErrUnavailable
	}
	return f(h.conn)
}

func (h handle) Info() (string, json.RawMessage) {
	cfg := h.conn.cfg
	cfg.Password, cfg.Token, cfg.ClientKey = "", "", ""
	b, _ := json.Marshal(cfg) // texts always encode
	return "metrics", b
}

func out() rules.Outbound {
	return outbound.New(outbound.Options{AllowLocal: true, UserAgent: "hawser-hub/1"})
}

func connect(t testing.TB, config any) *Conn {
	t.Helper()
	b, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Connector().Open(b, out())
	if err != nil {
		t.Fatalf("open %s: %v", b, err)
	}
	t.Cleanup(func() { _ = c.Close() }) // never fails
	return c.(*Conn)
}

func sink(t testing.TB, conn *Conn, config string) *Sink {
	t.Helper()
	s, err := New(json.RawMessage(config), rules.Env{Connector: func(kind, id string) (rules.Handle, error) {
		if kind != Kind || id != "7" {
			t.Errorf("asked for connector %s of kind %s", id, kind)
		}
		return handle{conn}, nil
	}})
	if err != nil {
		t.Fatalf("New(%s): %v", config, err)
	}
	return s.(*Sink)
}

var moment = time.UnixMilli(1_700_000_000_123).UTC()

// record is the n-th output, all within one millisecond.
func record(n int, result string) rules.Record {
	return rules.Record{Action: 5, MessageID: message.FirstID(moment) + message.ID(n), Device: ident.Device{Product: "0123456789abcdef", SN: "dev1"},
		Topic: "/0123456789abcdef/dev1/upload", Time: moment, Result: []byte(result)}
}

const plain = `{"connector":"7","measurement":"weather","tags":{"device":"${deviceSN}","room":"${room}"},"fields":{"t":{"value":"${t}"}}}`

func TestPreview(t *testing.T) {
	conn := connect(t, ConnConfig{URL: "http://localhost:8086/influx", Database: "d b", User: "u", Password: "hidden"})
	tests := []struct {
		name, config, result, want string // want "!…" is a permanent error that has the rest in it
	}{
		{"plain", plain, `{"t":20,"room":"attic, left"}`, `weather,device=dev1,room=attic\,\ left t=20 1700000000123000244`},
		{"no tag", plain, `{"t":20.5,"room":null}`, `weather,device=dev1 t=20.5 1700000000123000244`},
		{"a number as a tag", plain, `{"t":1,"room":7}`, `weather,device=dev1,room=7 t=1 1700000000123000244`},
		{"no field", plain, `{"room":"x"}`, `!none of the fields`},
		{"not JSON", plain, `x`, `!not JSON`},
		{"auto", `{"connector":"7","measurement":"m","fields":{"b":{"value":"${b}"},"s":{"value":"${s}","type":"auto"},"o":{"value":"${o}"},"x":{"value":"at ${b}"}}}`,
			`{"b":true,"s":"on","o":{"a":[1]}}`, `m b=true,o="{\"a\":[1]}",s="on",x="at true" 1700000000123000244`},
		{"types", `{"connector":"7","measurement":"m","fields":{"f":{"value":"${f}","type":"float"},"i":{"value":"${i}","type":"int"},"b":{"value":"${b}","type":"bool"},"s":{"value":"${f}","type":"string"}}}`,
			`{"f":"1.25","i":7.0,"b":1}`, `m b=true,f=1.25,i=7i,s="1.25" 1700000000123000244`},
		{"no integer", `{"connector":"7","measurement":"m","fields":{"i":{"value":"${i}","type":"int"}}}`, `{"i":7.5}`, `!field i: "7.5" is no integer`},
		{"no bool", `{"connector":"7","measurement":"m","fields":{"i":{"value":"${i}","type":"bool"}}}`, `{"i":"yes"}`, `!field i: "yes" is no bool`},
		{"no float", `{"connector":"7","measurement":"m","fields":{"i":{"value":"${i}","type":"float"}}}`, `{"i":"Inf"}`, `!field i: "Inf" is no number`},
		{"measurement of the message", `{"connector":"7","measurement":"${kind} x","fields":{"i":{"value":"${i}"}}}`, `{"kind":"a,b","i":1}`, `a\,b\ x i=1 1700000000123000244`},
		{"no measurement", `{"connector":"7","measurement":"${kind}","fields":{"i":{"value":"${i}"}}}`, `{"i":1}`, `!measurement: ${kind}`},
		{"seconds", `{"connector":"7","measurement":"m","fields":{"i":{"value":"${i}"}},"timestamp":{"value":"${ts}","unit":"s"}}`, `{"i":1,"ts":1700000000.25}`, `m i=1 1700000000250000000`},
		{"milliseconds", `{"connector":"7","measurement":"m","fields":{"i":{"value":"${i}"}},"timestamp":{"value":"${ts}","unit":"ms"}}`, `{"i":1,"ts":1700000000123}`, `m i=1 1700000000123000000`},
		{"microseconds in text", `{"connector":"7","measurement":"m","fields":{"i":{"value":"${i}"}},"timestamp":{"value":"${ts}","unit":"us"}}`, `{"i":1,"ts":"1700000000123456"}`, `m i=1 1700000000123456000`},
		{"nanoseconds", `{"connector":"7","measurement":"m","fields":{"i":{"value":"${i}"}},"timestamp":{"value":"${ts}","unit":"ns"}}`, `{"i":1,"ts":1700000000123456789}`, `m i=1 1700000000123456789`},
		{"no time", `{"connector":"7","measurement":"m","fields":{"i":{"value":"${i}"}},"timestamp":{"value":"${ts}","unit":"s"}}`, `{"i":1}`, `!timestamp: ${ts}`},
		{"a time that is too far", `{"connector":"7","measurement":"m","fields":{"i":{"value":"${i}"}},"timestamp":{"value":"${ts}","unit":"s"}}`, `{"i":1,"ts":1700000000123}`, `!is no time`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := record(1, tt.result)
			got, err := sink(t, conn, tt.config).Preview(&r)
			if tt.want[0] == '!' {
				if !errors.Is(err, rules.ErrPermanent) || !contains(err, tt.want[1:]) {
					t.Errorf("got %+v, %v, want a permanent error with %q", got, err, tt.want[1:])
				}
				return
			}
			if err != nil || got.Statement != tt.want || got.Target != "POST http://localhost:8086/influx/write?db=d+b" {
				t.Errorf("got  %+v, %v\nwant %s", got, err, tt.want)
			}
		})
	}
}

// Each output is a point of its own, and the same one each time.
func TestOwnTime(t *testing.T) {
	seen := map[int64]string{}
	for n := range 4096 {
		for _, index := range []int{0, 1, 243, 100 << 8, 2<<8 | 1} {
			r := record(n, "")
			r.Index = index
			at := ownNanos(&r)
			if before, ok := seen[at]; ok {
				t.Fatalf("%s and %s are one point", r.Key(), before)
			}
			if at/1_000_000 != moment.UnixMilli() || at != ownNanos(&r) {
				t.Fatalf("%s is at %d", r.Key(), at)
			}
			seen[at] = r.Key()
		}
	}
}

// A number that only an unsigned integer has room for is a float as good as it can be, a text as it is, and no integer.
func Test64Bits(t *testing.T) {
	conn := connect(t, ConnConfig{URL: "http://localhost:8086", Database: "d"})
	r := record(0, `{"n":18446744073709551615}`)
	p, err := sink(t, conn, `{"connector":"7","measurement":"m","fields":{"a":{"value":"${n}"},"f":{"value":"${n}","type":"float"},"s":{"value":"${n}","type":"string"}}}`).Preview(&r)
	if err != nil || !strings.HasPrefix(p.Statement, `m a=1.8446744073709552e+19,f=1.8446744073709552e+19,s="18446744073709551615" `) {
		t.Errorf("got %s, %v", p.Statement, err)
	}
	if _, err := sink(t, conn, `{"connector":"7","measurement":"m","fields":{"i":{"value":"${n}","type":"int"}}}`).Preview(&r); !errors.Is(err, rules.ErrPermanent) {
		t.Errorf("as an integer: %v", err)
	}
}

func TestConfig(t *testing.T) {
	env := rules.Env{Connector: func(string, string) (rules.Handle, error) { return handle{}, nil }}
	for _, bad := range []string{``, `{}`, `{"connector":"7"}`, `{"connector":"7","measurement":"m"}`, `{"connector":"7","measurement":"m","fields":{}}`,
		`{"measurement":"m","fields":{"a":{"value":"1"}}}`, `{"connector":"7","measurement":"${","fields":{"a":{"value":"1"}}}`,
		`{"connector":"7","measurement":"m","fields":{"a":{"value":"1","type":"double"}}}`, `{"connector":"7","measurement":"m","fields":{"":{"value":"1"}}}`,
		`{"connector":"7","measurement":"m","fields":{"time":{"value":"1"}}}`, `{"connector":"7","measurement":"m","fields":{"a\\":{"value":"1"}}}`,
		`{"connector":"7","measurement":"m","tags":{"a\"":"1"},"fields":{"a":{"value":"1"}}}`, `{"connector":"7","measurement":"m","fields":{"a":{"value":"1"}},"colour":1}`,
		`{"connector":"7","measurement":"m","fields":{"a":{"value":"1"}},"timestamp":{"value":"${t}","unit":"h"}}`,
		`{"connector":"7","measurement":"m","fields":{"a":{"value":"1"}},"timestamp":{"value":"7","unit":"s"}}`,
		`{"connector":"7","measurement":"m","fields":{"a":{"value":"1"}},"batchSize":1001}`, `{"connector":"7","measurement":"m","fields":{"a":{"value":"1"}},"lingerMillis":10001}`} {
		if _, err := New(json.RawMessage(bad), env); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
	s := sink(t, nil, plain)
	if s.MaxBatch() != 200 || s.Linger() != 200*time.Millisecond {
		t.Errorf("without a word: %d, %v", s.MaxBatch(), s.Linger())
	}
	if err := s.Send(context.Background(), []rules.Record{record(1, `{"t":1}`)}); err == nil {
		t.Error("sent without a connection")
	}
}

func TestConnectorConfig(t *testing.T) {
	for _, bad := range []string{``, `{}`, `{"url":"x"}`, `{"url":"ftp://x"}`, `{"url":"http://u:p@x"}`, `{"url":"http://x?db=y"}`, `{"url":"http://x","colour":1}`,
		`{"url":"http://x","bucket":"b","database":"d"}`, `{"url":"http://x","org":"o"}`, `{"url":"http://x","database":"d","password":"p"}`,
		`{"url":"http://x","database":"d","user":"u","token":"t"}`, `{"url":"http://x","bucket":"b","token":"a\nb"}`, `{"url":"http://x","retentionPolicy":"r"}`,
		`{"url":"http://x","server":"influxdb"}`, `{"url":"http://x","server":"graphite"}`, `{"url":"http://x","compression":"br"}`, `{"url":"http://x","timeoutSeconds":61}`, `{"url":"https://x","ca":"x"}`,
		`{"url":"https://x","clientKey":"x"}`, `{"url":"https://x","clientCertificate":"x","clientKey":"y"}`} {
		if _, err := Connector().Open(json.RawMessage(bad), out()); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
	tests := []struct{ config, target, auth string }{
		{`{"url":"http://x:8086","database":"d","retentionPolicy":"r","user":"u","password":"p"}`, "http://x:8086/write?db=d&rp=r", "Basic dTpw"},
		{`{"url":"http://x:8086/","bucket":"b c","org":"o","token":"t"}`, "http://x:8086/api/v2/write?bucket=b+c&org=o", "Token t"},
		{`{"url":"http://x:8428/insert/0/influx","token":"t"}`, "http://x:8428/insert/0/influx/write", "Bearer t"},
	}
	for _, tt := range tests {
		c, err := Connector().Open(json.RawMessage(tt.config), out())
		if err != nil {
			t.Errorf("%s: %v", tt.config, err)
			continue
		}
		conn := c.(*Conn)
		if got := conn.target.String(); got != tt.target || conn.cfg.authorization() != tt.auth {
			t.Errorf("%s: %s with %q", tt.config, got, conn.cfg.authorization())
		}
	}
}
