package api_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestETags(t *testing.T) {
	h := start(t)
	p := h.product(`{"name":"thermometer"}`)
	h.must("POST", p+"/devices", `{"deviceSN":"cellar-1"}`)
	d := p + "/devices/cellar-1"
	for _, path := range []string{p, d, p + "/devices", "/v1/rules", d + "/shadow", d + "/properties"} {
		a := h.must("GET", path, "")
		tag := a.header.Get("ETag")
		if tag == "" {
			t.Errorf("%s has no ETag", path)
		}
		again := h.do("GET", path, "", "If-None-Match", `"other", W/`+tag)
		if again.status != http.StatusNotModified || len(again.body) != 0 || again.header.Get("ETag") != tag {
			t.Errorf("%s with its own ETag: %d %s", path, again.status, again.body)
		}
		if a := h.do("GET", path, "", "If-None-Match", `"other"`); a.status != 200 {
			t.Errorf("%s with another ETag: %d", path, a.status)
		}
	}
	// Presence changes what is shown, and not what an operator has to know before a change.
	before := h.must("GET", d, "").header.Get("ETag")
	h.connect(d, nil)
	eventually(t, "the ETag changes with the state", func() bool { return h.must("GET", d, "").header.Get("ETag") != before })
	h.must("PATCH", d, `{"name":"hall"}`, "If-Match", before)
}

// Two operators change the same thing: one of them is told.
func TestTheSecondOfTwoChangesIsRefused(t *testing.T) {
	h := start(t)
	p := h.product(`{"name":"thermometer"}`)
	h.must("POST", p+"/devices", `{"deviceSN":"cellar-1"}`)
	h.must("POST", "/v1/rules", `{"name":"r","sql":"SELECT * FROM '/a/+/upload'"}`)
	rule := "/v1/rules/" + h.must("GET", "/v1/rules", "").get("items", "0", "id")
	h.must("PUT", p+"/script", `{"source":"function rawDataToJSON() { return {} }"}`)
	alarmRule := "/v1/alarm-rules/" + h.must("POST", "/v1/alarm-rules", `{"name":"busy","severity":"minor","condition":{"kind":"metric","metric":"messages_up","op":">","value":1}}`).get("id")
	channel := "/v1/alarm-channels/" + h.must("POST", "/v1/alarm-channels", `{"name":"ops","kind":"slack","config":{"url":"https://hooks.example/x"}}`).get("id")
	for _, tt := range []struct{ path, method, change, body string }{
		{p, "PATCH", p, `{"description":"%d"}`},
		{p, "PUT", p + "/topics", `{"items":[{"path":"t%d","permission":"pub"}]}`},
		{p, "PUT", p + "/thing-model", `{"Property":[{"Identifier":"t%d","AccessMode":"r","DataType":{"Type":"int32"}}]}`},
		{p + "/devices/cellar-1", "PATCH", p + "/devices/cellar-1", `{"name":"n%d"}`},
		{rule, "PUT", rule, `{"name":"r","description":"%d","sql":"SELECT * FROM '/a/+/upload'"}`},
		{alarmRule, "PUT", alarmRule, `{"name":"busy","description":"%d","severity":"minor","condition":{"kind":"metric","metric":"messages_up","op":">","value":1}}`},
		{channel, "PUT", channel, `{"name":"ops%d"}`},
		{p + "/devices/cellar-1/shadow", "PATCH", p + "/devices/cellar-1/shadow", `{"desired":{"n":%d}}`},
		{p + "/script", "PUT", p + "/script", `{"source":"function rawDataToJSON() { return {n: %d} }"}`},
	} {
		tag := h.must("GET", tt.path, "").header.Get("ETag")
		h.must(tt.method, tt.change, fmt.Sprintf(tt.body, 1), "If-Match", tag)
		a := h.do(tt.method, tt.change, fmt.Sprintf(tt.body, 2), "If-Match", tag)
		now := h.must("GET", tt.path, "").header.Get("ETag")
		if a.status != http.StatusPreconditionFailed || a.get("code") != "revision_mismatch" || strings.TrimSuffix(a.header.Get("ETag"), `"`) == "" || revision(a.header.Get("ETag")) != revision(now) {
			t.Errorf("%s: second change: %d %s, ETag %s, want 412 and %s", tt.path, a.status, a.body, a.header.Get("ETag"), now)
		}
		h.must(tt.method, tt.change, fmt.Sprintf(tt.body, 2), "If-Match", `"`+revision(now)+`"`)
		// At the same time exactly one wins.
		now = h.must("GET", tt.path, "").header.Get("ETag")
		var all sync.WaitGroup
		var mu sync.Mutex
		count := map[int]int{}
		for i := range 6 {
			all.Go(func() {
				a := h.do(tt.method, tt.change, fmt.Sprintf(tt.body, 10+i), "If-Match", now)
				mu.Lock()
				defer mu.Unlock()
				count[a.status]++
			})
		}
		all.Wait()
		if count[200] != 1 || count[412] != 5 {
			t.Errorf("%s: six changes at once: %v, want one 200", tt.path, count)
		}
	}
	d := p + "/devices/cellar-1"
	for _, tt := range []struct {
		method, path, body, tag string
		status                  int
	}{
		{"POST", d + "/disable", "", `"1"`, 412},
		{"DELETE", d, "", `"1"`, 412},
		{"POST", rule + "/enable", "", `"1"`, 412},
		{"DELETE", alarmRule, "", `"1"`, 412},
		{"DELETE", channel, "", `"1"`, 412},
		{"POST", p + "/devices", `{}`, `"1"`, 400},       // there is nothing yet to compare
		{"PATCH", p + "/devices/x-99", `{}`, `"1"`, 404}, // nor here
		{"POST", d + "/disable", "", `*`, 200},
	} {
		if a := h.do(tt.method, tt.path, tt.body, "If-Match", tt.tag); a.status != tt.status {
			t.Errorf("%s %s if %s: %d %s, want %d", tt.method, tt.path, tt.tag, a.status, a.body, tt.status)
		}
	}
}

// revision is the part of an ETag that changes are held to.
func revision(tag string) string {
	number, _, _ := strings.Cut(strings.Trim(tag, `"`), "-")
	return number
}

func TestAChangeWithAKeyIsMadeOnce(t *testing.T) {
	h := start(t)
	p := h.product(`{"name":"thermometer"}`)
	key := []string{"Idempotency-Key", "order 4711"}
	first := h.must("POST", p+"/devices", `{"name":"a"}`, key...)
	again := h.do("POST", p+"/devices", `{"name":"a"}`, key...)
	if again.status != first.status || string(again.body) != string(first.body) || again.header.Get("Idempotency-Replayed") != "true" ||
		again.header.Get("Content-Type") != "application/json" || len(first.get("deviceSecret")) != 16 {
		t.Errorf("again: %d %s\nwant  %d %s", again.status, again.body, first.status, first.body)
	}
	if a := h.do("POST", p+"/devices", `{"name":"b"}`, key...); a.status != 422 || a.get("code") != "idempotency_key_reused" {
		t.Errorf("another body: %d %s", a.status, a.body)
	}
	if a := h.do("POST", p+"/devices:batch", `{"count":1}`, key...); a.status != 422 {
		t.Errorf("another path: %d %s", a.status, a.body)
	}
	h.must("DELETE", p+"/devices/"+first.get("deviceSN"), "", "Idempotency-Key", "del")
	if a := h.do("DELETE", p+"/devices/"+first.get("deviceSN"), "", "Idempotency-Key", "del"); a.status != 204 || len(a.body) != 0 {
		t.Errorf("delete again: %d %s, want as the first time", a.status, a.body)
	}
	// A refusal is an answer too, but not one that depends on who may do what now.
	if a := h.do("POST", p+"/devices", `{"deviceSN":"a/b"}`, "Idempotency-Key", "bad"); a.status != 400 {
		t.Errorf("bad: %d", a.status)
	}
	if a := h.do("POST", p+"/devices", `{"deviceSN":"a/b"}`, "Idempotency-Key", "bad"); a.status != 400 || a.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("bad again: %d", a.status)
	}
	if a := h.do("POST", p+"/devices", `{}`, "Idempotency-Key", strings.Repeat("x", 256)); a.status != 400 || a.get("field") != "Idempotency-Key" {
		t.Errorf("long key: %d %s", a.status, a.body)
	}
	// Uploads, too.
	csv := []string{"Content-Type", "text/csv", "Idempotency-Key", "file"}
	one := h.must("POST", p+"/devices:import", "deviceSN\nfile-1\n", csv...)
	if a := h.must("POST", p+"/devices:import", "deviceSN\nfile-1\n", csv...); a.get("id") != one.get("id") {
		t.Errorf("import again: job %s, want %s", a.get("id"), one.get("id"))
	}
	if a := h.do("POST", p+"/devices:import", "deviceSN\nfile-2\n", csv...); a.status != 422 {
		t.Errorf("another file: %d %s", a.status, a.body)
	}
	// Of many at once one makes it, the others are told to wait or get its answer.
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			a := h.do("POST", p+"/devices", `{"deviceSN":"race-1"}`, "Idempotency-Key", "race")
			inHand := a.status == 409 && a.get("code") == "request_in_hand" && a.header.Get("Retry-After") != ""
			if a.status != 201 && !inHand {
				t.Errorf("at once: %d %s", a.status, a.body)
			}
		})
	}
	all.Wait()
}

func TestBoundsOfARequest(t *testing.T) {
	h := start(t)
	deep := `{"name":"x","description":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`
	if a := h.do("POST", "/v1/products", deep); a.status != 400 || a.get("field") != "body" || !strings.Contains(a.get("detail"), "64 levels") {
		t.Errorf("deep body: %d %s", a.status, a.body)
	}
	h.must("POST", "/v1/products", `{"name":"\"[[[[[{{{{{","description":"`+strings.Repeat("[", 100)+`"}`)
	a := h.must("GET", "/v1/info", "")
	if a.header.Get("RateLimit-Limit") == "" || a.header.Get("RateLimit-Remaining") == "" || a.header.Get("RateLimit-Reset") == "" {
		t.Errorf("headers: %v", a.header)
	}
}

func TestACallerWhoAsksTooOftenIsRefused(t *testing.T) {
	h := startWith(t, map[string]string{"api-rate": "1", "api-burst": "5"})
	var mu sync.Mutex // guards answers
	var answers []answer
	for refused := false; !refused; { // the sixth, on a machine that makes it within a second
		var all sync.WaitGroup
		for range 6 {
			all.Go(func() {
				a := h.do("GET", "/v1/info", "")
				mu.Lock()
				defer mu.Unlock()
				answers = append(answers, a)
				refused = refused || a.status == 429
			})
		}
		all.Wait()
		if len(answers) > 600 {
			t.Fatal("nobody is refused")
		}
	}
	taken := 0
	for _, a := range answers {
		if a.status == 200 {
			taken++
		} else if a.status != 429 || a.get("code") != "too_many_requests" || a.header.Get("Retry-After") != "1" || a.header.Get("RateLimit-Remaining") != "0" {
			t.Errorf("refused: %d %s %v", a.status, a.body, a.header)
		}
	}
	if taken < 5 {
		t.Errorf("%d requests were taken, want the burst of 5", taken)
	}
	eventually(t, "there is room again", func() bool { return h.do("GET", "/v1/info", "").status == 200 })
}

// A body that does not come is not waited for in vain: the request ends, and so does its connection.
func TestABodyThatBreaksOff(t *testing.T) {
	h := start(t)
	conn, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	p := h.product(`{"name":"x"}`)
	fmt.Fprintf(conn, "POST %s/devices:import HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: text/csv\r\nContent-Length: 1000000\r\n\r\n", p, h.key)
	_, _ = conn.Write(bytes.Repeat([]byte("deviceSN\n"), 20_000))
	_ = conn.(*net.TCPConn).CloseWrite()
	_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
	_, _ = io.ReadAll(conn)
	eventually(t, "no job is left", func() bool { return h.must("GET", "/v1/jobs", "").get("items") == "[]" })
}
