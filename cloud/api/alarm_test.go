package api_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// follow reads the events of a stream until it ends.
func (h *testHub) follow(path string) <-chan map[string]any {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.t.Context(), http.MethodGet, h.url+path, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+h.key)
	resp, err := (&http.Client{Transport: h.client.Transport}).Do(req)
	if err != nil || resp.StatusCode != http.StatusOK {
		h.t.Fatalf("%s: %v %v", path, resp, err)
	}
	events := make(chan map[string]any, 1000)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { _ = resp.Body.Close() }()
		for sc := bufio.NewScanner(resp.Body); sc.Scan(); {
			if data, ok := strings.CutPrefix(sc.Text(), "data: "); ok {
				var v map[string]any
				if json.Unmarshal([]byte(data), &v) == nil {
					events <- v
				}
			}
		}
	}()
	h.t.Cleanup(func() { _ = resp.Body.Close(); <-done })
	return events
}

// A device's reports are counted, its property opens an alarm, somebody is told, acknowledges it, and it ends by itself.
func TestAlarms(t *testing.T) {
	h := startWith(t, map[string]string{"rule-allow-local": "true"})
	told := make(chan string, 10)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		told <- string(b)
		w.WriteHeader(http.StatusNoContent)
	}))
	defer srv.Close()
	p := h.product(`{"name":"pump"}`)
	h.must("PUT", p+"/thing-model", lampModel)
	d := h.must("POST", p+"/devices", `{"deviceSN":"pump-1"}`)
	product, secret := d.get("productSN"), d.get("deviceSecret")
	channel := h.must("POST", "/v1/alarm-channels", fmt.Sprintf(`{"name":"ops","kind":"webhook","config":{"url":%q,"secret":"0123456789abcdef"}}`, srv.URL)).get("id")
	if got := h.must("POST", "/v1/alarm-channels/"+channel+"/test", "").get("ok"); got != "true" || !strings.Contains(<-told, `"test":true`) {
		t.Errorf("the test's answer is %s", got)
	}
	h.must("POST", "/v1/alarm-rules", fmt.Sprintf(`{"name":"hot","severity":"major","tellCleared":true,"channels":[%q],
		"condition":{"kind":"property","productSN":%q,"property":"target","op":">","value":25,"clearValue":20}}`, channel, product))
	h.must("POST", "/v1/alarm-rules", fmt.Sprintf(`{"name":"away","severity":"critical","condition":{"kind":"presence","productSN":%q}}`, product))
	changes, seconds := h.follow("/v1/alarms/events"), h.follow("/v1/metrics/events?product="+product)
	select {
	case <-seconds: // it counts from here on
	case <-time.After(time.Minute):
		t.Fatal("nothing is counted")
	}

	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + h.mqtt).SetClientID(product + ".pump-1").SetUsername(product + "|pump-1|1").
		SetPassword(secret).SetAutoReconnect(false))
	h.token(c.Connect())
	post := func(v float64) {
		h.token(c.Publish("/$system/"+product+"/pump-1/tmodel/property/post", 1, false, fmt.Sprintf(`{"RequestID":"1","Property":{"target":{"Value":%v}}}`, v)))
	}
	next := func(state string) (id string) {
		t.Helper()
		select {
		case x := <-changes:
			if x["state"] != state {
				t.Errorf("got %v, want %s", x, state)
			}
			return fmt.Sprint(x["id"])
		case <-time.After(time.Minute):
			t.Fatalf("no alarm %s within a minute", state)
		}
		return ""
	}
	post(10)
	post(26)
	id := next("open")
	if got := h.must("GET", "/v1/alarms?state=open&product="+product, "").get("items", "0", "text"); got != "target is 26 (> 25)" {
		t.Errorf("the alarm says %q", got)
	}
	eventually(t, "the hub has said how it does", func() bool { return h.must("GET", "/v1/overview", "").get("nodes", "0", "up") == "true" })
	if a := h.must("GET", "/v1/overview", ""); a.get("alarms", "major") != "1" || a.get("devices", "online") != "1" {
		t.Errorf("overview %s", a.body)
	}
	if got := h.must("POST", "/v1/alarms/"+id+"/acknowledge", "").get("acknowledgedBy"); !strings.HasPrefix(got, "key:") {
		t.Errorf("acknowledged by %q", got)
	}
	next("acknowledged")
	post(22) // not over yet
	post(19)
	next("cleared")
	if a := h.do("POST", "/v1/alarms/"+id+"/clear", ""); a.status != http.StatusConflict {
		t.Errorf("cleared again: %d %s", a.status, a.body)
	}
	select {
	case got := <-told:
		if !strings.Contains(got, `"ruleName":"hot"`) {
			t.Errorf("told %s", got)
		}
	case <-time.After(time.Minute):
		t.Error("nobody was told")
	}
	c.Disconnect(0)
	gone := next("open")
	if got := h.must("GET", "/v1/alarms/"+gone, "").get("text"); got != "is offline" {
		t.Errorf("the second alarm says %q", got)
	}
	if got := h.must("POST", "/v1/alarms/"+gone+"/clear", "").get("clearedBy"); !strings.HasPrefix(got, "key:") {
		t.Errorf("cleared by %q", got)
	}
	sum := map[string]float64{}
	for sum["messages_up"] < 4 || sum["bytes_up"] < 100 {
		select {
		case s := <-seconds:
			for name, v := range s["values"].(map[string]any) {
				sum[name] += v.(float64)
			}
		case <-time.After(time.Minute):
			t.Fatalf("four reports are counted as %v", sum)
		}
	}
	if sum["messages_up"] != 4 {
		t.Errorf("four reports are counted as %v", sum["messages_up"])
	}
}
