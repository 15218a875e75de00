package api_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

const model = `{"Property":[
	{"Identifier":"t","Name":"t","AccessMode":"r","DataType":{"Type":"float64","Spec":{"Min":-40,"Max":100}}},
	{"Identifier":"target","Name":"target","AccessMode":"rw","DataType":{"Type":"float64","Spec":{"Min":5,"Max":30}}}],
	"Event":[],"Command":[{"Identifier":"dim","Name":"dim",
	"Input":[{"Identifier":"percent","Name":"p","DataType":{"Type":"int32","Spec":{"Min":0,"Max":100}}}],
	"Output":[{"Identifier":"now","Name":"n","DataType":{"Type":"int32","Spec":{"Min":0,"Max":100}}}]}]}`

func TestRefusals(t *testing.T) {
	h := start(t)
	p := h.product(`{"name":"thermometer"}`)
	h.must("POST", p+"/devices", `{"deviceSN":"cellar-1"}`)
	frozen := h.product(`{"name":"frozen"}`)
	h.must("PATCH", frozen, `{"published":true}`)
	blind := h.product(`{"name":"blind","shadow":false}`)
	h.must("POST", blind+"/devices", `{"deviceSN":"d-01"}`)
	modelled := h.product(`{"name":"modelled"}`)
	h.must("PUT", modelled+"/thing-model", model)
	h.must("POST", modelled+"/devices", `{"deviceSN":"d-01"}`)
	h.must("POST", "/v1/rules", `{"name":"r","sql":"SELECT * FROM '/a/+/upload'"}`)
	d := p + "/devices/cellar-1"
	tests := []struct {
		name, method, path, body string
		head                     []string
		status                   int
		code, field              string
	}{
		{"no key", "GET", "/v1/info", "", []string{"Authorization", ""}, 401, "unauthorized", ""},
		{"wrong scheme", "GET", "/v1/info", "", []string{"Authorization", "Basic aGk6aG8="}, 401, "unauthorized", ""},
		{"wrong key", "GET", "/v1/info", "", []string{"Authorization", "Bearer " + h.key[:len(h.key)-1] + "_"}, 401, "unauthorized", ""},
		{"no key, no such route", "GET", "/v1/nothing", "", []string{"Authorization", ""}, 401, "unauthorized", ""},
		{"no such route", "GET", "/v1/nothing", "", nil, 404, "no_such_route", ""},
		{"no such method", "PUT", "/v1/products", "{}", nil, 405, "method_not_allowed", ""},
		{"body too long", "POST", "/v1/products", `{"name":"` + strings.Repeat("x", 100_000) + `"}`, nil, 413, "too_large", ""},
		{"not JSON", "POST", "/v1/products", `{"name":`, nil, 400, "invalid", ""},
		{"wrong type", "POST", "/v1/products", `{"name":7}`, nil, 400, "invalid", "name"},
		{"empty body", "POST", "/v1/products", ``, nil, 400, "invalid", ""},
		{"product without a name", "POST", "/v1/products", `{}`, nil, 400, "invalid", "name"},
		{"kind", "POST", "/v1/products", `{"name":"x","kind":"toaster"}`, nil, 400, "invalid", "kind"},
		{"product", "GET", "/v1/products/0123456789abcdef", "", nil, 404, "product_not_found", ""},
		{"product of no form", "GET", "/v1/products/x", "", nil, 404, "product_not_found", ""},
		{"product with devices", "DELETE", p, "", nil, 409, "product_has_devices", ""},
		{"limit 0", "GET", "/v1/products?limit=0", "", nil, 400, "invalid", "limit"},
		{"limit of letters", "GET", "/v1/products?limit=all", "", nil, 400, "invalid", "limit"},
		{"cursor", "GET", "/v1/products?cursor=%21", "", nil, 400, "invalid", "cursor"},
		{"thing model", "PUT", p + "/thing-model", `{"Property":[{"Identifier":"1x"}]}`, nil, 400, "invalid", ""},
		{"thing model of a published product", "PUT", frozen + "/thing-model", model, nil, 409, "product_published", ""},
		{"topic permission", "PUT", p + "/topics", `{"items":[{"path":"up","permission":"read"}]}`, nil, 400, "invalid", "permission"},
		{"topic path", "PUT", p + "/topics", `{"items":[{"path":"a//b","permission":"pub"}]}`, nil, 400, "invalid", "topics"},
		{"device", "GET", p + "/devices/nobody", "", nil, 404, "device_not_found", ""},
		{"device of no product", "GET", "/v1/products/x/devices/nobody", "", nil, 404, "product_not_found", ""},
		{"devices of no product", "GET", "/v1/products/x/devices", "", nil, 404, "product_not_found", ""},
		{"device state", "GET", p + "/devices?state=happy", "", nil, 400, "invalid", "state"},
		{"device exists", "POST", p + "/devices", `{"deviceSN":"cellar-1"}`, nil, 409, "device_exists", ""},
		{"deviceSN", "POST", p + "/devices", `{"deviceSN":"a/b"}`, nil, 400, "invalid", "deviceSN"},
		{"neither count nor SNs", "POST", p + "/devices:batch", `{}`, nil, 400, "invalid", "count"},
		{"too many", "POST", p + "/devices:batch", `{"count":100000}`, nil, 422, "limit_exceeded", ""},
		{"one of many exists", "POST", p + "/devices:batch", `{"deviceSNs":["new-1","cellar-1"]}`, nil, 409, "device_exists", ""},
		{"… and none was made", "GET", p + "/devices/new-1", "", nil, 404, "device_not_found", ""},
		{"shadow switched off", "GET", blind + "/devices/d-01/shadow", "", nil, 409, "shadow_disabled", ""},
		{"shadow without desired", "PATCH", d + "/shadow", `{"state":{}}`, nil, 400, "invalid", "state.desired"},
		{"shadow of no object", "PATCH", d + "/shadow", `{"desired":[1]}`, nil, 400, "invalid", "desired"},
		{"shadow of another revision", "PATCH", d + "/shadow", `{"desired":{"a":1}}`, []string{"If-Match", `"7"`}, 412, "revision_mismatch", ""},
		{"ETag of no form", "PATCH", d + "/shadow", `{"desired":{"a":1}}`, []string{"If-Match", `W/"7"`}, 400, "invalid", "If-Match"},
		{"shadow too large", "PATCH", d + "/shadow", `{"desired":{"a":"` + strings.Repeat("x", 40_000) + `"}}`, nil, 422, "too_large", ""},
		{"no thing model", "POST", d + "/commands", `{"identifier":"dim"}`, nil, 409, "no_thing_model", ""},
		{"no such command", "POST", modelled + "/devices/d-01/commands", `{"identifier":"boil"}`, nil, 400, "invalid", "boil"},
		{"input out of range", "POST", modelled + "/devices/d-01/commands", `{"identifier":"dim","input":{"percent":101}}`, nil, 400, "invalid", "Input.percent"},
		{"timeout", "POST", modelled + "/devices/d-01/commands", `{"identifier":"dim","timeoutSeconds":61}`, nil, 400, "invalid", "timeoutSeconds"},
		{"device is away", "POST", modelled + "/devices/d-01/commands", `{"identifier":"dim"}`, nil, 409, "device_offline", ""},
		{"read-only property", "POST", modelled + "/devices/d-01/properties", `{"property":{"t":1}}`, nil, 400, "invalid", "t"},
		{"no property", "POST", modelled + "/devices/d-01/properties", `{}`, nil, 400, "invalid", "property"},
		{"publish to nobody", "POST", d + "/publish", `{"topic":"set","payload":"x"}`, nil, 409, "device_offline", ""},
		{"publish on a system topic", "POST", d + "/publish", `{"topic":"/$system/P/D/password_reply","payload":"x"}`, nil, 400, "invalid", "topic"},
		{"publish to another device", "POST", d + "/publish", `{"topic":"/0123456789abcdef/other/set","payload":"x"}`, nil, 400, "invalid", "topic"},
		{"publish on a wildcard", "POST", d + "/publish", `{"topic":"a/+","payload":"x"}`, nil, 400, "invalid", "topic"},
		{"publish twice", "POST", d + "/publish", `{"topic":"set","payload":"x","payloadBase64":"eA=="}`, nil, 400, "invalid", "payload"},
		{"publish no base64", "POST", d + "/publish", `{"topic":"set","payloadBase64":"?"}`, nil, 400, "invalid", "payloadBase64"},
		{"QoS 2", "POST", d + "/publish", `{"topic":"set","payload":"x","qos":2}`, nil, 400, "invalid", "qos"},
		{"rule", "GET", "/v1/rules/12", "", nil, 404, "rule_not_found", ""},
		{"rule of no form", "GET", "/v1/rules/first", "", nil, 404, "rule_not_found", ""},
		{"SQL", "POST", "/v1/rules", `{"name":"q","sql":"SELECT FROM"}`, nil, 400, "invalid_sql", "sql"},
		{"rule exists", "POST", "/v1/rules", `{"name":"r","sql":"SELECT * FROM '/a/+/upload'"}`, nil, 409, "rule_exists", ""},
		{"action of no kind", "POST", "/v1/rules", `{"name":"q","sql":"SELECT * FROM '/a/+/upload'","actions":[{"kind":"fax"}]}`, nil, 400, "invalid", "actions[0].kind"},
		{"action is no object", "POST", "/v1/rules", `{"name":"q","sql":"SELECT * FROM '/a/+/upload'","actions":["fax"]}`, nil, 400, "invalid", "actions[0]"},
		{"unknown member of an action", "POST", "/v1/rules", `{"name":"q","sql":"SELECT * FROM '/a/+/upload'","actions":[{"kind":"http","url":"http://example.com","colour":1}]}`, nil, 400, "invalid", "actions[0].config"},
		{"role", "POST", "/v1/api-keys", `{"name":"k","role":"king"}`, nil, 400, "invalid", "role"},
		{"key", "DELETE", "/v1/api-keys/nothing", "", nil, 404, "api_key_not_found", ""},
		{"last owner", "DELETE", "/v1/api-keys/" + strings.Split(h.key, "_")[1], "", nil, 409, "last_owner_key", ""},
		{"events of a device of any product", "GET", "/v1/events?device=d", "", nil, 400, "invalid", "device"},
		{"events of no type", "GET", "/v1/events?type=gossip", "", nil, 400, "invalid", "type"},
		{"events after nonsense", "GET", "/v1/events", "", []string{"Last-Event-ID", "x"}, 400, "invalid", "Last-Event-ID"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h.t = t
			a := h.do(tt.method, tt.path, tt.body, tt.head...)
			if a.status != tt.status || a.get("code") != tt.code || a.get("field") != tt.field {
				t.Errorf("got %d %s (%s), want %d %s (%s)\n%s", a.status, a.get("code"), a.get("field"), tt.status, tt.code, tt.field, a.body)
			}
			if got := a.header.Get("Content-Type"); got != "application/problem+json" {
				t.Errorf("Content-Type = %s", got)
			}
			if a.get("detail") == "" || a.get("requestID") != a.header.Get("X-Request-Id") || a.get("status") != fmt.Sprint(a.status) {
				t.Errorf("incomplete problem: %s", a.body)
			}
		})
	}
}

func TestPages(t *testing.T) {
	h := start(t)
	p := h.product(`{"name":"many"}`)
	made := h.must("POST", p+"/devices:batch", `{"count":7}`)
	var got, want []string
	for i := range 7 {
		want = append(want, made.get("items", fmt.Sprint(i), "deviceSN"))
	}
	pages, cursor := 0, ""
	for {
		a := h.must("GET", p+"/devices?limit=3&state=inactive&cursor="+cursor, "")
		pages++
		for i := range 3 {
			if sn := a.get("items", fmt.Sprint(i), "deviceSN"); sn != "" {
				got = append(got, sn)
			}
		}
		if cursor = a.get("nextCursor"); cursor == "" {
			break
		}
	}
	if strings.Join(got, " ") != strings.Join(want, " ") || pages != 3 {
		t.Errorf("got %v in %d pages, want %v in 3", got, pages, want)
	}
	if a := h.must("GET", p+"/devices?state=online", ""); a.get("items") != "[]" {
		t.Errorf("items without any = %s, want []", a.get("items"))
	}
}

func TestRoles(t *testing.T) {
	h := start(t)
	p := h.product(`{"name":"thermometer"}`)
	h.must("POST", p+"/devices", `{"deviceSN":"cellar-1"}`)
	owner := h.key
	viewer := h.must("POST", "/v1/api-keys", `{"name":"wall","role":"viewer"}`)
	admin := h.must("POST", "/v1/api-keys", `{"name":"intern","role":"admin"}`)

	h.key = viewer.get("key")
	if a := h.must("GET", p+"/devices/cellar-1", ""); a.get("deviceSecret") != "" {
		t.Errorf("a viewer sees a secret: %s", a.body)
	}
	if a := h.must("GET", p, ""); a.get("productSecret") != "" {
		t.Errorf("a viewer sees a secret: %s", a.body)
	}
	if a := h.do("POST", p+"/devices", `{}`); a.status != 403 || a.get("code") != "forbidden" {
		t.Errorf("a viewer creates a device: %d %s", a.status, a.body)
	}
	h.key = admin.get("key")
	if a := h.must("POST", p+"/devices", `{}`); len(a.get("deviceSecret")) != 16 {
		t.Errorf("an admin gets no secret: %s", a.body)
	}
	if a := h.do("POST", "/v1/api-keys", `{"name":"more"}`); a.status != 403 || a.get("code") != "exceeds_own" {
		t.Errorf("an admin makes an owner: %d %s", a.status, a.body)
	}
	h.key = owner
	h.must("DELETE", "/v1/api-keys/"+admin.get("id"), "")
	h.key = admin.get("key")
	if a := h.do("GET", "/v1/info", ""); a.status != 401 {
		t.Errorf("a deleted key is taken: %d", a.status)
	}
}

func TestRequestID(t *testing.T) {
	h := start(t)
	if got := h.must("GET", "/v1/info", "", "X-Request-Id", "job-7.a").header.Get("X-Request-Id"); got != "job-7.a" {
		t.Errorf("got %q, want the caller's", got)
	}
	if got := h.must("GET", "/v1/info", "", "X-Request-Id", "a b").header.Get("X-Request-Id"); got == "a b" || got == "" {
		t.Errorf("got %q, want a new one", got)
	}
	if a := h.must("GET", "/openapi.yaml", "", "Authorization", ""); !strings.HasPrefix(string(a.body), "openapi: 3.1") {
		t.Errorf("the document begins with %.40q", a.body)
	}
}

func TestShadow(t *testing.T) {
	h := start(t)
	d := h.product(`{"name":"thermometer"}`) + "/devices/cellar-1"
	h.must("POST", strings.TrimSuffix(d, "/cellar-1"), `{"deviceSN":"cellar-1"}`)
	a := h.must("GET", d+"/shadow", "")
	if a.get("state") != `{"desired":{},"reported":{}}` || a.header.Get("ETag") != `"0"` || a.get("version") != "0" {
		t.Errorf("fresh shadow: %s, ETag %s", a.body, a.header.Get("ETag"))
	}
	// A number beyond 2^53 must come through as it is.
	a = h.must("PATCH", d+"/shadow", `{"state":{"desired":{"big":9007199254740993,"mode":"eco"}}}`, "If-Match", `"0"`)
	if a.get("state", "desired") != `{"big":9007199254740993,"mode":"eco"}` || a.header.Get("ETag") != `"1"` || a.get("revision") != "1" {
		t.Errorf("after a change: %s, ETag %s", a.body, a.header.Get("ETag"))
	}
	if a = h.do("PATCH", d+"/shadow", `{"state":{"desired":{"mode":"boost"}}}`, "If-Match", `"0"`); a.status != 412 {
		t.Errorf("a change with a stale ETag: %d", a.status)
	}
	a = h.must("PATCH", d+"/shadow", `{"desired":{"big":null}}`, "If-Match", "*")
	if a.get("state", "desired") != `{"mode":"eco"}` || a.get("metadata", "desired", "mode", "Timestamp") == "" {
		t.Errorf("after a deletion: %s", a.body)
	}
	if got := h.must("GET", d+"/shadow", ""); string(got.body) != string(a.body) {
		t.Errorf("got %s, want %s", got.body, a.body)
	}
}

func TestCommandsAndProperties(t *testing.T) {
	h := start(t)
	p := h.product(`{"name":"lamp"}`)
	h.must("PUT", p+"/thing-model", `{"Template":`+model+`}`)
	if a := h.must("GET", p+"/thing-model", ""); a.get("Property", "0", "Identifier") != "t" || a.get("Event") != "[]" {
		t.Errorf("thing model: %s", a.body)
	}
	d := p + "/devices/lamp-1"
	h.must("POST", p+"/devices", `{"deviceSN":"lamp-1"}`)

	if a := h.must("POST", d+"/properties", `{"property":{"target":20},"desired":true}`); a.get("stored") != "true" {
		t.Errorf("set of a device that is away: %s", a.body)
	}
	if a := h.must("GET", d+"/properties", ""); a.get("desired", "target", "value") != "20" || a.get("property") != "{}" {
		t.Errorf("properties: %s", a.body)
	}
	// The device: answers commands with what it was asked for, and sets everything.
	c := h.connect(d, func(c mqtt.Client, m mqtt.Message) {
		in := answer{body: m.Payload()}
		if strings.HasSuffix(m.Topic(), "/set") {
			c.Publish(m.Topic()+"_reply", 1, false, `{"RequestID":"`+in.get("RequestID")+`","RetCode":0}`)
			return
		}
		c.Publish(m.Topic()+"_reply/"+in.get("RequestID"), 1, false,
			fmt.Sprintf(`{"RequestID":"%s","RetCode":0,"Identifier":"dim","Output":{"now":%s}}`, in.get("RequestID"), in.get("Input", "percent")))
	}, "/$system/P/D/tmodel/command", "/$system/P/D/tmodel/property/set")

	if a := h.must("POST", d+"/commands", `{"identifier":"dim","input":{"percent":40}}`); a.get("output") != `{"now":40}` || a.get("retCode") != "0" {
		t.Errorf("command: %s", a.body)
	}
	if a := h.must("POST", d+"/commands", `{"identifier":"dim","input":{"percent":7},"async":true}`); a.get("pending") != "true" || a.get("requestID") == "" {
		t.Errorf("async command: %s", a.body)
	}
	eventually(t, "the command log has both answers", func() bool {
		a := h.must("GET", d+"/commands?limit=2", "")
		return a.get("items", "0", "status") == "succeeded" && a.get("items", "0", "output") == `{"now":7}` && a.get("items", "1", "status") == "succeeded"
	})
	if a := h.must("POST", d+"/properties", `{"property":{"target":22.5}}`); a.get("retCode") != "0" {
		t.Errorf("set: %s", a.body)
	}
	dev := h.must("GET", d, "")
	h.token(c.Publish("/$system/"+dev.get("productSN")+"/lamp-1/tmodel/property/post", 1, false,
		`{"RequestID":"1","Property":{"t":{"Value":21.5,"Time":1524448722000}}}`))
	if a := h.must("GET", d+"/properties", ""); a.get("property", "t") != `{"time":1524448722000,"value":21.5}` {
		t.Errorf("properties: %s", a.body)
	}
}

func TestPublishAndDisable(t *testing.T) {
	h := start(t)
	p := h.product(`{"name":"lamp"}`)
	d := p + "/devices/lamp-1"
	h.must("POST", p+"/devices", `{"deviceSN":"lamp-1"}`)
	got := make(chan string, 4)
	c := h.connect(d, func(_ mqtt.Client, m mqtt.Message) { got <- string(m.Payload()) }, "/P/D/set")
	if a := h.must("GET", d, ""); a.get("state") != "online" || a.get("activatedAt") == "" {
		t.Errorf("device that is there: %s", a.body)
	}
	for _, body := range []string{`{"topic":"set","payload":"text"}`, `{"topic":"set","payloadBase64":"AP8=","qos":1}`} {
		if a := h.must("POST", d+"/publish", body); a.get("outcome") != "delivered" {
			t.Errorf("publish %s: %s", body, a.body)
		}
	}
	arrived := []string{<-got, <-got} // the client calls its handlers in no order
	if slices.Sort(arrived); !slices.Equal(arrived, []string{"\x00\xff", "text"}) {
		t.Errorf("the device got %q", arrived)
	}
	if a := h.do("POST", d+"/publish", `{"topic":"other","payload":"x"}`); a.get("code") != "not_subscribed" {
		t.Errorf("publish where nobody listens: %s", a.body)
	}
	if a := h.must("POST", d+"/disable", ""); a.get("state") != "disabled" {
		t.Errorf("disable: %s", a.body)
	}
	eventually(t, "the disabled device is cut off", func() bool { return !c.IsConnectionOpen() })
	secret := h.must("GET", d, "").get("deviceSecret")
	h.must("POST", d+"/enable", "")
	if a := h.must("POST", d+"/reset", `{"resetSecret":true}`); a.get("state") != "inactive" || a.get("deviceSecret") == secret {
		t.Errorf("reset: %s", a.body)
	}
	h.must("POST", d+"/reset", "")
	h.must("DELETE", d, "")
	h.must("DELETE", p, "")
}

func TestRules(t *testing.T) {
	h := start(t)
	a := h.must("POST", "/v1/rules", `{"name":"hot","sql":"SELECT t FROM '/a/+/upload' WHERE t > 30",
		"actions":[{"kind":"http","url":"https://example.com/h","headers":{"x":"y"}},{"kind":"republish","topic":"/0123456789abcdef/${sn}/set","qos":1}]}`)
	rule := "/v1/rules/" + a.get("id")
	if a.get("enabled") != "false" || a.get("actions", "0", "url") != "https://example.com/h" || a.get("actions", "1", "qos") != "1" {
		t.Errorf("rule: %s", a.body)
	}
	kept := a.get("actions", "1", "id")
	if a = h.must("POST", rule+"/enable", ""); a.get("enabled") != "true" {
		t.Errorf("enable: %s", a.body)
	}
	// What GET gives, PUT takes.
	a = h.must("PUT", rule, `{"name":"hotter","sql":"SELECT t FROM '/a/+/upload' WHERE t > 40","enabled":true,"actions":[`+a.get("actions", "1")+`]}`)
	if a.get("name") != "hotter" || a.get("actions", "0", "id") != kept || a.get("actions", "1") != "" {
		t.Errorf("update: %s", a.body)
	}
	if a = h.must("GET", rule+"/stats", ""); a.get("matched") != "0" || a.get("actions", "0", "id") != kept {
		t.Errorf("stats: %s", a.body)
	}
	if a = h.must("GET", "/v1/rules?limit=1", ""); a.get("items", "0", "name") != "hotter" {
		t.Errorf("list: %s", a.body)
	}
	if a = h.must("POST", rule+"/disable", ""); a.get("enabled") != "false" {
		t.Errorf("disable: %s", a.body)
	}
	h.must("DELETE", rule, "")
	if a = h.do("GET", rule, ""); a.status != 404 {
		t.Errorf("a deleted rule: %d", a.status)
	}
}

// stream is an open event stream.
type stream struct {
	t    *testing.T
	sc   *bufio.Scanner
	stop context.CancelFunc
}

func (h *testHub) events(query, after string) *stream {
	h.t.Helper()
	ctx, cancel := context.WithCancel(h.t.Context())
	req, err := http.NewRequestWithContext(ctx, "GET", h.url+"/v1/events"+query, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+h.key)
	if after != "" {
		req.Header.Set("Last-Event-ID", after)
	}
	resp, err := (&http.Client{Transport: h.client.Transport}).Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { cancel(); _ = resp.Body.Close() })
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		h.t.Fatalf("events: %s %s", resp.Status, resp.Header.Get("Content-Type"))
	}
	return &stream{h.t, bufio.NewScanner(resp.Body), cancel}
}

// next returns the fields of the next event.
func (s *stream) next() map[string]string {
	s.t.Helper()
	e := map[string]string{}
	for s.sc.Scan() {
		name, value, _ := strings.Cut(s.sc.Text(), ": ")
		switch {
		case name != "":
			e[name] = value
		case e["data"] != "":
			return e
		default:
			e = map[string]string{}
		}
	}
	s.t.Fatalf("the stream ended: %v", s.sc.Err())
	return nil
}

func TestEvents(t *testing.T) {
	h := start(t)
	p := h.product(`{"name":"lamp"}`)
	h.must("POST", p+"/devices:batch", `{"deviceSNs":["lamp-1","lamp-2"]}`)
	one := h.must("GET", p+"/devices/lamp-1", "")
	sn := one.get("productSN")
	s := h.events("?product="+sn+"&device=lamp-1&type=message,presence", "")

	a, b := h.connect(p+"/devices/lamp-1", nil), h.connect(p+"/devices/lamp-2", nil)
	e := s.next()
	if got := (answer{body: []byte(e["data"])}); e["event"] != "presence" || got.get("deviceSN") != "lamp-1" || got.get("data", "Status") != "Online" {
		t.Errorf("first event: %v", e)
	}
	h.token(b.Publish("/"+sn+"/lamp-2/upload", 1, false, `{"n":1}`))
	h.token(a.Publish("/"+sn+"/lamp-1/upload", 1, false, `{"n":2}`))
	e = s.next()
	if got := (answer{body: []byte(e["data"])}); e["event"] != "message" || got.get("data", "payload") != `{"n":2}` || len(got.get("messageID")) < 18 || got.get("id") != e["id"] {
		t.Errorf("second event: %v", e)
	}
	s.stop()

	// Whoever comes back soon gets what happened meanwhile, in order, though nobody was watching.
	h.token(a.Publish("/"+sn+"/lamp-1/upload", 1, false, `{"n":3}`))
	h.token(a.Publish("/"+sn+"/lamp-1/upload", 1, false, `{"n":4}`))
	back := h.events("?type=message", e["id"])
	for _, want := range []string{`{"n":3}`, `{"n":4}`} {
		e := back.next()
		if got := (answer{body: []byte(e["data"])}).get("data", "payload"); got != want {
			t.Errorf("after coming back: %s, want %s", got, want)
		}
	}
	// Who comes back to a hub that does not know any longer what they missed is told so.
	if e := h.events("?type=message", "7").next(); e["event"] != "gap" || e["data"] != `{"reason":"resume"}` || e["id"] != "" {
		t.Errorf("after another life of the hub: %v", e)
	}
}
