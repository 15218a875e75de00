package api_test

import (
	"strings"
	"testing"
)

// What the API gave may be written back whole, and changes nothing but what was changed in it.
func TestWhatWasReadIsTaken(t *testing.T) {
	h := start(t)
	p := h.product(`{"name":"pump","description":"old"}`)
	h.must("POST", p+"/devices", `{"deviceSN":"pump-1","tags":{"site":"north"}}`)
	rule := "/v1/rules/" + h.must("POST", "/v1/rules", `{"name":"hot","sql":"SELECT t FROM '/+/+/upload'","actions":[{"kind":"http","url":"https://example.org/hook"}]}`).get("id")
	for path, method := range map[string]string{p: "PATCH", p + "/devices/pump-1": "PATCH", "/v1/projects/default": "PATCH", rule: "PUT", p + "/topics": "PUT", p + "/thing-model": "PUT"} {
		was := h.must("GET", path, "")
		if a := h.do(method, path, string(was.body)); a.status >= 300 {
			t.Errorf("%s %s with what was read: %d %s", method, path, a.status, a.body)
		}
		long := strings.Repeat("x", 10_000)
		if a := h.do(method, path, `{"`+long+`":1}`); path != p+"/thing-model" && (a.status != 400 || len(a.body) > 1000) {
			t.Errorf("%s %s with a long name: %d, an answer of %d bytes", method, path, a.status, len(a.body))
		}
	}
}
