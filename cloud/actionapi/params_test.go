package actionapi

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/message"
)

func TestHostileRequests(t *testing.T) {
	many := strings.Repeat("a=1&", maxParams+1)
	for name, tt := range map[string]struct {
		method, query, media, body string
		want                       message.Code
	}{
		"no JSON":          {"POST", "", "application/json", `{"Action":`, codeBad},
		"a list":           {"POST", "", "application/json", `["Action"]`, codeBad},
		"two documents":    {"POST", "", "application/json", `{"Action":"X"}{}`, codeBad},
		"not UTF-8 escape": {"GET", "Action=%zz", "", "", codeBad},
		"too deep":         {"POST", "", "application/json", `{"a":` + strings.Repeat("[", 20) + strings.Repeat("]", 20) + `}`, codeRange},
		"too long":         {"POST", "", "application/json", `{"a":"` + strings.Repeat("x", 5000) + `"}`, codeRange},
		"too many":         {"GET", many, "", "", codeRange},
		"too many in JSON": {"POST", "", "application/json", `{"a":[` + strings.Repeat("1,", maxParams) + `1]}`, codeRange},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(tt.method, "/?"+tt.query, strings.NewReader(tt.body))
			r.Header.Set("Content-Type", tt.media)
			limit := int64(4096)
			if strings.HasPrefix(name, "too many") {
				limit = 1 << 20
			}
			_, err := readParams(httptest.NewRecorder(), r, limit)
			if f, ok := errors.AsType[fault](err); !ok || f.code != tt.want {
				t.Errorf("got %v, want RetCode %d", err, tt.want)
			}
		})
	}
}

func TestForms(t *testing.T) {
	for name, tt := range map[string]struct{ method, query, media, body string }{
		"query":                {"GET", "Action=X&N=a%20b", "", ""},
		"form":                 {"POST", "Action=other", "application/x-www-form-urlencoded; charset=utf-8", "Action=X&N=a+b"},
		"JSON":                 {"POST", "Action=other", "application/json", ` {"Action":"X","N":"a b"} `},
		"JSON that says form":  {"POST", "", "application/x-www-form-urlencoded", `{"Action":"X","N":"a b"}`},
		"JSON without a type":  {"POST", "", "", `{"Action":"X","N":"a b","M":null}`},
		"POST without a body":  {"POST", "Action=X&N=a%20b", "", ""},
		"the first of several": {"GET", "Action=X&N=a%20b&N=c", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(tt.method, "/?"+tt.query, strings.NewReader(tt.body))
			if tt.media != "" {
				r.Header.Set("Content-Type", tt.media)
			}
			p, err := readParams(httptest.NewRecorder(), r, 4096)
			if err != nil || p.text("Action") != "X" || p.text("N") != "a b" || p.has("M") {
				t.Errorf("got %+v, %v", p, err)
			}
		})
	}
}

func TestTakes(t *testing.T) {
	for _, tt := range []struct {
		method, target, upgrade string
		want                    bool
	}{
		{"GET", "/?Action=X", "", true},
		{"GET", "/?Region=a&Action=X", "", true},
		{"GET", "/?Region=a", "", false},
		{"GET", "/", "", false},
		{"HEAD", "/?Action=X", "", false},
		{"POST", "/", "", true},
		{"POST", "/v1/products", "", false},
		{"GET", "/v1/products?Action=X", "", false},
		{"GET", "/?Action=X", "websocket", false},
	} {
		r := httptest.NewRequest(tt.method, tt.target, http.NoBody)
		if tt.upgrade != "" {
			r.Header.Set("Upgrade", tt.upgrade)
		}
		if got := Takes(r); got != tt.want {
			t.Errorf("%s %s %s: %v, want %v", tt.method, tt.target, tt.upgrade, got, tt.want)
		}
	}
}

func FuzzParams(f *testing.F) {
	for _, seed := range []string{`{"Action":"X","A.0":"a","A.1":"b"}`, `{"A":["a",{"b":[1,2.50,true,null]}]}`, `Action=X&A.0=a&Where=`, `{"a":1e400}`, `{"A":{"":""}}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		for _, parse := range []func() (*params, error){func() (*params, error) { return parseJSON([]byte(body)) }, func() (*params, error) { return parseQuery(body) }} {
			p, err := parse()
			if err != nil {
				continue
			}
			if len(p.values) > maxParams {
				t.Errorf("%d parameters", len(p.values))
			}
			const private = credential.Secret("secret")
			p.values[signatureParam] = string(signature(p.values, private))
			if !p.signed(private) || p.signed("other") {
				t.Errorf("%q does not sign as it should", body)
			}
			for name := range p.values {
				_ = p.list(strings.TrimSuffix(name, ".0"))
				_, _ = p.decoded(name)
				_, _ = p.number(name, 0, 9)
			}
		}
	})
}
