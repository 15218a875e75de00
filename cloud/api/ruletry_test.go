package api_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// A rule is tried on what the request has: each stage is shown, and nothing has happened afterwards.
func TestTryRule(t *testing.T) {
	h := start(t)
	p := h.product(`{"name":"meters"}`)
	sn := p[len("/v1/products/"):]
	h.must("POST", p+"/devices", `{"deviceSN":"meter-1"}`)
	upload := "/" + sn + "/meter-1/upload"
	sql := fmt.Sprintf(`SELECT t, upper(room) AS room\nFROM '/%s/+/upload'\nWHERE t > 30`, sn)
	actions := `[{"kind":"http","url":"https://example.com/hook?key=hush","headers":{"Authorization":"Bearer hush"}},
		{"kind":"republish","topic":"/` + sn + `/${room}/set","qos":1}]`
	draft := `"sql":"` + sql + `","actions":` + actions
	message := func(payload string) string {
		b, err := json.Marshal(map[string]string{"topic": upload, "payload": payload})
		if err != nil {
			t.Fatal(err)
		}
		return `{` + draft + `,"message":` + string(b) + `}`
	}
	got := h.must("POST", "/v1/rules/try", message(`{"t":31,"room":"attic"}`))
	for path, want := range map[string]string{
		"stage": "actions", "matched": "true", "filter": "/" + sn + "/+/upload", "where/truth": "true", "where/terms/0/value": "31",
		"message/deviceSN": "meter-1", "message/format": "json", "message/payload": `{"room":"attic","t":31}`, "fields/1/value": `"ATTIC"`,
		"results/0/value": `{"room":"ATTIC","t":31}`, "results/0/actions/0/target": "POST https://example.com/hook?key=***",
		"results/0/actions/0/statement": `{"t":31,"room":"ATTIC"}`, "results/0/actions/1/target": "/" + sn + "/ATTIC/set, QoS 1",
	} {
		if text := got.get(strings.Split(path, "/")...); text != want {
			t.Errorf("%s = %s, want %s", path, text, want)
		}
	}
	if strings.Contains(string(got.body), "hush") {
		t.Errorf("credentials are shown: %s", got.body)
	}
	got = h.must("POST", "/v1/rules/try", message(`{"t":31}`))
	if got.get("results", "0", "actions", "1", "error") == "" || got.get("results", "0", "actions", "1", "wouldWait") != "" {
		t.Errorf("an action that has no topic: %s", got.body)
	}
	if got = h.must("POST", "/v1/rules/try", message(`{"t":30}`)); got.get("stage") != "where" || got.get("matched") != "false" {
		t.Errorf("below: %s", got.body)
	}
	if got = h.must("POST", "/v1/rules/try", message(`{"t"`)); got.get("stage") != "decode" || got.get("error", "reason") == "" {
		t.Errorf("no JSON: %s", got.body)
	}
	// A fault of the message says where in the SQL it is.
	got = h.must("POST", "/v1/rules/try", `{"sql":"SELECT *,\n  1 + abs(list) AS x FROM '/+/+/upload'","message":{"topic":"`+upload+`","payload":"{\"list\":[1]}"}}`)
	if got.get("stage") != "select" || got.get("error", "line") != "2" || got.get("error", "column") != "7" {
		t.Errorf("a fault: %s", got.body)
	}
	// A stored rule is tried while it is off, and neither counts nor keeps anything of it.
	id := h.must("POST", "/v1/rules", `{"name":"hot",`+draft+`}`).get("id")
	got = h.must("POST", "/v1/rules/try", `{"ruleID":"`+id+`","message":{"topic":"`+upload+`","payload":"{\"t\":31,\"room\":\"meter-1\"}"}}`)
	if got.get("results", "0", "actions", "1", "id") == "" {
		t.Errorf("a stored rule: %s", got.body)
	}
	if got := h.must("GET", "/v1/rules/"+id+"/stats", ""); got.get("matched") != "0" || got.get("failed") != "0" {
		t.Errorf("a trial is counted: %s", got.body)
	}
	if got := h.must("GET", "/v1/audit?limit=100", ""); strings.Contains(string(got.body), "tryRule") || strings.Contains(string(got.body), "attic") {
		t.Errorf("a trial is told as a change: %s", got.body)
	}
}

func TestTryRuleRefuses(t *testing.T) {
	h := start(t)
	p := h.product(`{"name":"meters"}`)
	sn := p[len("/v1/products/"):]
	other := h.must("POST", "/v1/products", `{"name":"theirs"}`, "X-Hawser-Project", func() string {
		h.must("POST", "/v1/projects", `{"id":"farm","name":"farm"}`)
		return "farm"
	}()).get("productSN")
	const sql = `"sql":"SELECT * FROM '/+/+/upload'"`
	message := func(product string) string {
		return `"message":{"topic":"/` + product + `/meter-1/upload","payload":"{}"}`
	}
	tests := []struct {
		name, body, code string
		status           int
	}{
		{"no rule", `{` + message(sn) + `}`, "invalid", 400},
		{"no message", `{` + sql + `}`, "invalid", 400},
		{"two rules", `{"ruleID":"1",` + sql + `,` + message(sn) + `}`, "invalid", 400},
		{"two messages", `{` + sql + `,"live":{"productSN":"` + sn + `"},` + message(sn) + `}`, "invalid", 400},
		{"bad SQL", `{"sql":"SELECT","message":{"topic":"/a/b/c"}}`, "invalid_sql", 400},
		{"bad action", `{` + sql + `,"actions":[{"kind":"http","url":"x"}],` + message(sn) + `}`, "invalid", 400},
		{"no such rule", `{"ruleID":"7",` + message(sn) + `}`, "rule_not_found", 404},
		{"another project's product", `{` + sql + `,` + message(other) + `}`, "product_not_found", 404},
		{"another project's messages", `{` + sql + `,"live":{"productSN":"` + other + `"}}`, "product_not_found", 404},
		{"no such product's messages", `{` + sql + `,"live":{"productSN":"0123456789abcdef"}}`, "product_not_found", 404},
		{"too long a wait", `{` + sql + `,"live":{"productSN":"` + sn + `","timeoutSeconds":61}}`, "invalid", 400},
		{"nothing comes", `{` + sql + `,"live":{"productSN":"` + sn + `","timeoutSeconds":1}}`, "no_message", 504},
		{"no base64", `{` + sql + `,"message":{"topic":"/a/b/c","payloadBase64":"?"}}`, "invalid", 400},
		{"two payloads", `{` + sql + `,"message":{"topic":"/a/b/c","payload":"1","payloadBase64":"MQ=="}}`, "invalid", 400},
	}
	for _, tt := range tests {
		got := h.do("POST", "/v1/rules/try", tt.body, "X-Hawser-Project", "default")
		h.want(tt.name, got, tt.status, tt.code)
	}
	h.member("watcher", "default", "viewer")
	h.want("a viewer", h.as("watcher").do("POST", "/v1/rules/try", `{`+sql+`,`+message(sn)+`}`), 403, "forbidden")
}

// A live message is the next one that FROM takes, as it came up.
func TestTryRuleLive(t *testing.T) {
	h := start(t)
	p := h.product(`{"name":"meters"}`)
	sn := p[len("/v1/products/"):]
	h.must("POST", p+"/devices", `{"deviceSN":"meter-1"}`)
	c := h.connect(p+"/devices/meter-1", nil)
	done := make(chan answer, 1)
	go func() {
		done <- h.do("POST", "/v1/rules/try", `{"sql":"SELECT t FROM '/`+sn+`/+/upload'","live":{"productSN":"`+sn+`","deviceSN":"meter-1","timeoutSeconds":60}}`)
	}()
	for n := 0; ; n++ {
		h.token(c.Publish("/"+sn+"/meter-1/other", 1, false, `{"t":-1}`))
		h.token(c.Publish("/"+sn+"/meter-1/upload", 1, false, fmt.Sprintf(`{"t":%d}`, n)))
		select {
		case got := <-done:
			if got.status != 200 || got.get("stage") != "actions" || got.get("message", "topic") != "/"+sn+"/meter-1/upload" ||
				got.get("message", "qos") != "1" || got.get("message", "messageID") == "" || !strings.HasPrefix(got.get("results", "0", "value"), `{"t":`) {
				t.Errorf("got %d %s", got.status, got.body)
			}
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}
