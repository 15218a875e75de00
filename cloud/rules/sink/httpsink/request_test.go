package httpsink

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/cloud/rules/outbound"
	"github.com/hawser-iot/hawser/protocol/ident"
)

func record(result string) rules.Record {
	return rules.Record{Action: 5, MessageID: 101, Device: ident.Device{Product: "0123456789abcdef", SN: "dev1"}, Topic: "/0123456789abcdef/dev1/upload", Result: []byte(result)}
}

// What a record makes of the templates; want "" is a permanent error.
func TestTemplates(t *testing.T) {
	tests := []struct{ name, config, result, target, body string }{
		{"no templates", `"url":"http://x/a?b=c"`, `{"a":1}`, "POST http://x/a?b=***", `{"a":1}`},
		{"put", `"url":"http://x/","method":"PUT","path":"/v1/${deviceSN}"`, `{"a":1}`, "PUT http://x/v1/dev1", `{"a":1}`},
		{"base with a path", `"url":"http://x/api/","path":"/v1/${a}?b=${b}&c=d"`, `{"a":"x/y z","b":"1&2=3"}`, "POST http://x/api/v1/x%2Fy%20z?b=1%262%3D3&c=d", `{"a":"x/y z","b":"1&2=3"}`},
		{"no character of a path", `"url":"http://x/api","path":"/{a|b}/${a}/c"`, `{"a":"x/../../admin%2F"}`, "POST http://x/api/%7Ba%7Cb%7D/x%2F..%2F..%2Fadmin%252F/c", `{"a":"x/../../admin%2F"}`},
		{"64 bits", `"url":"http://x","path":"/${a}","body":"[${a}]"`, `{"a":18446744073709551615}`, "POST http://x/18446744073709551615", `[18446744073709551615]`},
		{"two queries", `"url":"http://x/?t=hush","path":"/?b=${b}"`, `{"b":1.5}`, "POST http://x/?t=***&b=1.5", `{"b":1.5}`},
		{"a question mark in a name", "\"url\":\"http://x\",\"path\":\"/${a?b}\"", `{"a?b":true}`, "POST http://x/true", `{"a?b":true}`},
		{"up", `"url":"http://x/api","path":"/${a}/b"`, `{"a":".."}`, "", ""},
		{"nothing", `"url":"http://x/api","path":"/${a}/b"`, `{"a":""}`, "", ""},
		{"null", `"url":"http://x/api","path":"/${a}/b"`, `{"a":null}`, "", ""},
		{"missing", `"url":"http://x/api","path":"/${a}/b"`, `{}`, "", ""},
		{"header", `"url":"http://x","headers":{"X-Room":"${room}"}`, `{"room":"a\r\nb"}`, "", ""},
		{"JSON body", `"url":"http://x","body":"{\"d\":\"${deviceSN}\",\"t\":${t},\"o\":${o},\"n\":${n}}"`, `{"t":20.5,"o":{"a":[1]},"n":null}`,
			"POST http://x", `{"d":"dev1","t":20.5,"o":{"a":[1]},"n":null}`},
		{"text in a JSON body", `"url":"http://x","body":"{\"d\":\"${s}\"}"`, `{"s":"\",\"admin\":true,\"\\\n"}`, "POST http://x", `{"d":"\",\"admin\":true,\"\\\n"}`},
		{"no JSON", `"url":"http://x","body":"{\"d\":${s}}"`, `{"s":"on"}`, "", ""},
		{"text body", `"url":"http://x","headers":{"Content-Type":"text/plain"},"body":"${s} at ${topic}"`, `{"s":"\"on\""}`, "POST http://x", `"on" at /0123456789abcdef/dev1/upload`},
		{"bytes", `"url":"http://x"`, "\xff\x00", "POST http://x", "base64:/wA="},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := record(tt.result)
			got, err := open(t, `{`+tt.config+`}`, outbound.Options{}).(rules.Previewer).Preview(&r)
			if tt.target == "" {
				if !errors.Is(err, rules.ErrPermanent) {
					t.Errorf("got %+v, %v, want a permanent error", got, err)
				}
				return
			}
			if err != nil || got.Target != tt.target || got.Statement != tt.body {
				t.Errorf("got  %s %s, %v\nwant %s %s", got.Target, got.Statement, err, tt.target, tt.body)
			}
		})
	}
}

// A preview, which an operator sees who need not know the credentials, has none.
func TestPreviewHidesCredentials(t *testing.T) {
	const secret = "hush-0123456789abcdef"
	inline := `{"url":"http://u:` + secret + `@x/?key=` + secret + `","headers":{"Authorization":"` + secret + `","X-Api-Key":"` + secret + `","X-Room":"attic"},"signingSecrets":["` + secret + `"]}`
	s := open(t, inline, outbound.Options{})
	r := record(`{}`)
	got, err := s.(rules.Previewer).Preview(&r)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(got)
	if err != nil || strings.Contains(string(b), "hush") || !strings.Contains(string(b), "X-Room: attic") || !strings.Contains(string(b), "Idempotency-Key: 101:5") {
		t.Errorf("preview %s, %v", b, err)
	}
}

func TestCompressedAndPut(t *testing.T) {
	var got *http.Request
	var body []byte
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got = r
		z, err := gzip.NewReader(r.Body)
		if err == nil {
			body, err = io.ReadAll(z)
		}
		if err != nil {
			t.Error(err)
		}
	}))
	defer srv.Close()
	s := open(t, `{"url":"`+srv.URL+`","method":"PUT","compression":"gzip","path":"/${deviceSN}","headers":{"X-Of":"${deviceSN}"}}`, outbound.Options{AllowLocal: true})
	if err := s.Send(t.Context(), []rules.Record{record(`{"a":1}`)}); err != nil {
		t.Fatal(err)
	}
	if got.Method != "PUT" || got.URL.Path != "/dev1" || got.Header.Get("X-Of") != "dev1" || got.Header.Get("Content-Encoding") != "gzip" || string(body) != `{"a":1}` {
		t.Errorf("got %s %s %v %s", got.Method, got.URL, got.Header, body)
	}
}

// Outputs that go elsewhere, and those that are too many bytes, are requests of their own, in order.
func TestBatchesAreSplit(t *testing.T) {
	var got []string
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got = append(got, r.URL.Path+" "+r.Header.Get("Idempotency-Key")+" "+string(b))
	}))
	defer srv.Close()
	s := open(t, `{"url":"`+srv.URL+`","batchSize":10,"batchBytes":20,"path":"/${to}"}`, outbound.Options{AllowLocal: true})
	list := records(`{"to":1}`, `{"to":1}`, `{"to":2}`, `{"to":1}`, `{"to":1}`, `{"to":1}`)
	if err := s.Send(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	want := `/1 101:5+1 [{"to":1},{"to":1}]|/2 101:5:2 [{"to":2}]|/1 101:5:3+1 [{"to":1},{"to":1}]|/1 101:5:5 [{"to":1}]`
	if text := strings.Join(got, "|"); text != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
}

// verify is what a receiver does, as docs/connectors.md has it.
func verify(header, secret string, body []byte, now time.Time) bool {
	stamp, rest, _ := strings.Cut(strings.TrimPrefix(header, "t="), ",")
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	at := time.Unix(seconds, 0)
	if err != nil || now.Sub(at).Abs() > 5*time.Minute {
		return false
	}
	want := strings.TrimPrefix(Sign([]string{secret}, at, body), "t="+stamp+",")
	for sig := range strings.SplitSeq(rest, ",") {
		if sig == want {
			return true
		}
	}
	return false
}

func TestSign(t *testing.T) {
	// Computed by: printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac 0123456789abcdef
	const want = "t=1700000000,v1=9eb18f493f8ec135d9eb2dad817c369bb4e9cbfa818657897a7437c1cd8c3a23"
	if got := Sign([]string{"0123456789abcdef"}, time.Unix(1_700_000_000, 0), []byte(`{"a":1}`)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestSignedRequests(t *testing.T) {
	const (
		older, newer = "0123456789abcdef-old", "0123456789abcdef-new"
		body         = `{"a":1}`
	)
	rec := &receiver{}
	srv := httptest.NewServer(rec)
	defer srv.Close()
	for _, secrets := range []string{`["` + older + `"]`, `["` + newer + `","` + older + `"]`} {
		s := open(t, `{"url":"`+srv.URL+`","signingSecrets":`+secrets+`}`, outbound.Options{AllowLocal: true})
		if err := s.Send(t.Context(), records(body)); err != nil {
			t.Fatal(err)
		}
		h := rec.got.Header.Get("Hawser-Signature")
		if !verify(h, older, []byte(body), time.Now()) || verify(h, newer, []byte(body), time.Now()) != strings.Contains(secrets, newer) {
			t.Errorf("%s: signature %s does not fit", secrets, h)
		}
		if verify(h, older, []byte(body+" "), time.Now()) || verify(h, older, []byte(body), time.Now().Add(time.Hour)) {
			t.Errorf("%s: signature %s fits another body or time", secrets, h)
		}
	}
}
