package scenario

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/hawser-iot/hawser/testbed/harness"
)

// logged is a record of the message log as the API shows it.
type logged struct {
	Kind, Result, MessageID, ProductSN, DeviceSN, Application, Action, Topic, Payload, Node string
	Masked                                                                                  bool
	Hops                                                                                    []struct {
		Name, Result, Reason, Detail string
		RetCode                      int
	}
}

// hop is the first hop of that name, as name result retCode reason detail.
func (r *logged) hop(name string) string {
	for _, h := range r.Hops {
		if h.Name == name {
			return strings.TrimSpace(fmt.Sprintf("%s %s %d %s %s", h.Name, h.Result, h.RetCode, h.Reason, h.Detail))
		}
	}
	return ""
}

// messages asks the log.
func messages(t *testing.T, h *harness.Hub, query string) (items []logged, missing []string) {
	t.Helper()
	var list struct {
		Items   []logged
		Missing []string
	}
	if err := h.Call("GET", "/v1/messages"+query, nil, &list); err != nil {
		t.Fatal(err)
	}
	return list.Items, list.Missing
}

// acknowledged: r tells that a device has taken a message.
func acknowledged(r *logged) bool {
	return r.hop("device") == "device ok 0 the device has acknowledged it"
}

// explained waits until the log has a record that is asked for and fits.
func explained(t *testing.T, h *harness.Hub, what, query string, fits func(*logged) bool) (found logged) {
	t.Helper()
	harness.Eventually(t, time.Minute, "the log tells of "+what, func() bool {
		items, _ := messages(t, h, query)
		for i := range items {
			if fits(&items[i]) {
				found = items[i]
				return true
			}
		}
		return false
	})
	return found
}

func publish(t *testing.T, c mqtt.Client, topic, payload string) {
	t.Helper()
	if tok := c.Publish(topic, 1, false, payload); !tok.WaitTimeout(time.Minute) || tok.Error() != nil {
		t.Fatalf("publish on %s: %v", topic, tok.Error())
	}
}

const lampModel = `{"Property":[{"Identifier":"t","AccessMode":"rw","DataType":{"Type":"int32","Spec":{"Min":"0","Max":"80"}}}],"Event":[],
	"Command":[{"Identifier":"dim","Input":[{"Identifier":"percent","DataType":{"Type":"int32","Spec":{"Min":"0","Max":"100"}}}],"Output":[]}]}`

// TestMessageLogExplains: whatever goes wrong with a message, its log says what, where and why, by its MessageID.
func TestMessageLogExplains(t *testing.T) {
	hub := harness.StartHub(t, harness.HubOptions{Args: []string{"--rule-allow-local"}})
	explains(t, hub, hub)
}

// TestMessageLogOfTwoNodes: the same, asked of another node than the one that the device is connected to.
func TestMessageLogOfTwoNodes(t *testing.T) {
	hubs := cluster(t, 2)
	explains(t, hubs[0], hubs[1])
	if err := hubs[0].Stop(); err != nil {
		t.Fatal(err)
	}
	if _, missing := messages(t, hubs[1], ""); len(missing) != 1 || missing[0] != "n1" {
		t.Errorf("a node is away: missing %v, want n1", missing)
	}
}

// explainsApplications: an application logs in, hears the device, sends to it, and may not send elsewhere.
func explainsApplications(t *testing.T, hub, ask *harness.Hub, d harness.Credentials, of string, device mqtt.Client) {
	var key struct{ ID, Key string }
	if err := hub.Call("POST", "/v1/api-keys", map[string]any{"name": "ledger", "project": "default", "role": "operator"}, &key); err != nil {
		t.Fatal(err)
	}
	c, _ := dialMQTT(t, mqtt.NewClientOptions().AddBroker("tcp://"+hub.MQTT).SetClientID("ledger").SetUsername("app|"+key.ID).SetPassword(key.Key))
	name, by := key.ID+":ledger", "?application="+key.ID
	heard := make(chan struct{}, 16)
	c.Subscribe("/"+d.ProductSN+"/+/upload", 1, func(mqtt.Client, mqtt.Message) { heard <- struct{}{} }).WaitTimeout(time.Minute)
	publish(t, device, d.Topic("upload"), `{"heard":1}`)
	<-heard
	publish(t, c, d.Topic("set"), `{"said":1}`)
	publish(t, c, "/nosuchproduct/d/set", `{"said":2}`)
	c.Disconnect(100)
	for _, action := range []string{"login", "subscribe", "logout"} {
		explained(t, ask, "an application's "+action, by+"&kind=connection&result=ok", func(r *logged) bool { return r.Action == action && r.Application == name })
	}
	explained(t, ask, "what an application may not send", by+"&kind=downlink&result=refused", func(r *logged) bool {
		return r.Topic == "/nosuchproduct/d/set" && r.hop("topic") != "" && r.Application == name
	})
	explained(t, ask, "what an application sent", of+"&application="+name+"&kind=downlink", func(r *logged) bool {
		return r.Payload == `{"said":1}` && r.hop("delivery") != ""
	})
	explained(t, ask, "what an application heard", of+"&kind=uplink&contains=%22heard%22", func(r *logged) bool {
		return strings.HasSuffix(r.hop("application"), name)
	})
}

func explains(t *testing.T, hub, ask *harness.Hub) {
	product := hub.Product(map[string]any{"name": "logged", "kind": "device", "shadow": true})
	if err := hub.Call("PUT", "/v1/products/"+product+"/thing-model", json.RawMessage(lampModel), nil); err != nil {
		t.Fatal(err)
	}
	d := hub.Devices(product, 1)[0]
	of := "?" + url.Values{"product": {d.ProductSN}, "device": {d.DeviceSN}, "limit": {"500"}}.Encode()
	sink := harness.StartReceiver(t)
	rule(t, hub, "SELECT deviceSN() AS sn, n FROM '/"+product+"/+/upload'", sink.URL)
	tail := tailOf(t, ask, of)

	// A login that is refused, and one that is not.
	wrong := mqtt.NewClientOptions().AddBroker("tcp://" + hub.MQTT).SetClientID(d.ClientID()).SetUsername(d.UserName()).SetPassword("no such secret").
		SetConnectTimeout(time.Minute)
	if tok := mqtt.NewClient(wrong).Connect(); tok.WaitTimeout(time.Minute) && tok.Error() == nil {
		t.Fatal("a wrong secret was taken")
	}
	refusal := explained(t, ask, "the refused login", of+"&kind=connection&result=refused", func(r *logged) bool { return r.Action == "login" })
	if got := refusal.hop("door"); !strings.Contains(got, "door refused") || !strings.Contains(got, "secret") {
		t.Errorf("refused login: %s", got)
	}
	opts := mqtt.NewClientOptions().AddBroker("tcp://" + hub.MQTT).SetClientID(d.ClientID()).SetUsername(d.UserName()).SetPassword(d.DeviceSecret)
	c, _ := dialMQTT(t, opts)
	explained(t, ask, "the login", of+"&kind=connection&result=ok", func(r *logged) bool { return r.Action == "login" && strings.Contains(r.hop("door"), "127.0.0.1") })
	c.Subscribe("/"+product+"/another-device/set", 1, nil).WaitTimeout(time.Minute)
	explained(t, ask, "the refused subscription", of+"&result=refused", func(r *logged) bool {
		return r.Action == "subscribe" && strings.Contains(r.hop("door"), "may not subscribe")
	})

	// A property that the model refuses.
	publish(t, c, d.System("tmodel/property/post"), `{"RequestID":"1","Property":{"t":{"Value":81}}}`)
	post := explained(t, ask, "the refused post", of+"&kind=uplink&result=refused", func(r *logged) bool { return strings.HasSuffix(r.Topic, "property/post") })
	if got := post.hop("model"); !strings.Contains(got, "model refused 220") || !strings.Contains(got, "80") {
		t.Errorf("refused post: %s", got)
	}
	sameByID(t, ask, post)

	// A shadow that has another version.
	publish(t, c, d.System("shadow/upstream"), `{"Method":"update","State":{"Reported":{"a":1}},"Version":7}`)
	conflict := explained(t, ask, "the conflict", of+"&result=refused&contains=conflict", func(r *logged) bool { return strings.HasSuffix(r.Topic, "shadow/upstream") })
	if got := conflict.hop("shadow"); got != "shadow refused 100026 shadow version conflict" || conflict.hop("answer") == "" {
		t.Errorf("conflict: %s, %s", got, conflict.hop("answer"))
	}
	sameByID(t, ask, conflict)

	// A rule whose sink is dead, then returns.
	sink.Answer(http.StatusServiceUnavailable)
	publish(t, c, d.Topic("upload"), `{"n":42}`)
	up := explained(t, ask, "the matched message", of+"&kind=uplink&contains=%22n%22:42", func(*logged) bool { return true })
	if up.hop("rule") == "" || !strings.HasPrefix(up.hop("store"), "store ok") {
		t.Errorf("matched message: %+v", up.Hops)
	}
	failed := explained(t, ask, "the dead sink", of+"&kind=delivery&result=waiting&messageID="+up.MessageID, func(*logged) bool { return true })
	if got := failed.hop("sink"); !strings.Contains(got, "503") || !strings.Contains(got, "tried again") {
		t.Errorf("dead sink: %s", got)
	}
	sink.Answer(http.StatusOK)
	explained(t, ask, "the delivery", of+"&kind=delivery&result=ok&messageID="+up.MessageID, func(*logged) bool { return true })
	if items := byID(t, ask, up.MessageID); len(items) < 3 || items[0].Kind != "uplink" || items[len(items)-1].Result != "ok" {
		t.Errorf("the message's own log: %+v", items)
	}

	explainsApplications(t, hub, ask, d, of, c)

	// A command, answered.
	c.Subscribe(d.System("tmodel/command"), 1, func(c mqtt.Client, m mqtt.Message) {
		var request struct{ RequestID string }
		_ = json.Unmarshal(m.Payload(), &request)
		c.Publish(d.System("tmodel/command_reply/"+request.RequestID), 1, false, fmt.Sprintf(`{"RequestID":%q,"RetCode":3,"Output":{}}`, request.RequestID))
	}).WaitTimeout(time.Minute)
	if err := ask.Call("POST", "/v1/products/"+product+"/devices/"+d.DeviceSN+"/commands", map[string]any{"identifier": "dim", "input": map[string]any{"percent": 5}}, nil); err != nil {
		t.Fatal(err)
	}
	command := explained(t, ask, "the command", of+"&kind=downlink", func(r *logged) bool { return strings.HasSuffix(r.Topic, "tmodel/command") && r.hop("answer") != "" })
	if got := command.hop("answer"); !strings.Contains(got, "answer failed 3") || command.MessageID == "" {
		t.Errorf("command: %s", got)
	}
	explained(t, ask, "the command's arrival", of+"&kind=downlink&messageID="+command.MessageID, acknowledged)
	if items := byID(t, ask, command.MessageID); len(items) != 2 {
		t.Errorf("the command's own log: %+v", items)
	}

	// A wish that waits in the queue of a device that is away, and is taken when it comes back.
	c.Disconnect(100)
	kept := opts.SetCleanSession(false).SetDefaultPublishHandler(func(mqtt.Client, mqtt.Message) {}) // without one paho acknowledges nothing
	c, _ = dialMQTT(t, kept)
	c.Subscribe(d.System("shadow/downstream"), 1, nil).WaitTimeout(time.Minute)
	c.Disconnect(100)
	if err := ask.Call("PATCH", shadowPath(d), map[string]any{"desired": map[string]any{"light": "on"}}, nil); err != nil {
		t.Fatal(err)
	}
	control := explained(t, ask, "the wish that waits", of+"&kind=downlink&result=waiting", func(r *logged) bool { return strings.Contains(r.Payload, `"light":"on"`) })
	c, _ = dialMQTT(t, kept)
	explained(t, ask, "the wish that was taken", of+"&kind=downlink&messageID="+control.MessageID, acknowledged)

	// A login over HTTP that is signed with another secret.
	body := fmt.Sprintf(`{"ProductSN":%q,"DeviceSN":%q}`, d.ProductSN, d.DeviceSN)
	resp, err := http.Post("http://"+hub.HTTP+"/auth", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	explained(t, ask, "the refused HTTP login", of+"&kind=connection&result=refused", func(r *logged) bool {
		return r.Action == "auth" && strings.HasPrefix(r.hop("door"), "door refused 171 wrong secret")
	})

	// What the device itself logs.
	publish(t, c, d.System("log/post"), `{"Lines":[{"Level":"error","Text":"the lid is open"}]}`)
	explained(t, ask, "the device's line", of+"&kind=device", func(r *logged) bool { return r.Action == "error" && r.Payload == "the lid is open" })

	// Secrets are none of the log's business.
	publish(t, c, d.System("subdev/topo/found"), `{"RequestID":"9","Params":[{"ProductSN":"p","DeviceSN":"d","ProductSecret":"0123456789secret"}]}`)
	found := explained(t, ask, "what was found", of+"&contains=topo/found", func(*logged) bool { return true })
	if strings.Contains(found.Payload, "0123456789secret") || !found.Masked {
		t.Errorf("a secret is in the log: %+v", found)
	}

	// The product may want less.
	if err := hub.Call("PATCH", "/v1/products/"+product, map[string]any{"settings": map[string]any{"messageLog": "errors"}}, nil); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, time.Minute, "good messages are not logged any more", func() bool {
		text := fmt.Sprintf(`{"n":"%d"}`, time.Now().UnixNano())
		publish(t, c, d.Topic("upload"), text)
		publish(t, c, d.System("tmodel/event/post"), text)
		explained(t, ask, "the bad event", of+"&result=refused&contains="+url.QueryEscape(text), func(*logged) bool { return true })
		items, _ := messages(t, ask, of+"&result=ok&kind=uplink&contains="+url.QueryEscape(text))
		return len(items) == 0
	})
	for _, id := range []string{post.MessageID, conflict.MessageID, up.MessageID, command.MessageID} {
		harness.Eventually(t, time.Minute, "the tail has shown "+id, func() bool { return strings.Contains(tail(), `"messageID":"`+id+`"`) })
	}
}

func byID(t *testing.T, h *harness.Hub, id string) []logged {
	t.Helper()
	var list struct{ Items []logged }
	if err := h.Call("GET", "/v1/messages/"+id, nil, &list); err != nil {
		t.Fatal(err)
	}
	return list.Items
}

// sameByID: a message's own page has the record that the list had.
func sameByID(t *testing.T, h *harness.Hub, r logged) {
	t.Helper()
	items := byID(t, h, r.MessageID)
	if len(items) != 1 || fmt.Sprint(items[0]) != fmt.Sprint(r) {
		t.Errorf("message %s: got %+v, want %+v", r.MessageID, items, r)
	}
}

// tailOf follows the log and returns what it has shown so far. It breaks the connection once and comes back.
func tailOf(t *testing.T, h *harness.Hub, query string) func() string {
	t.Helper()
	var seen outputBuffer
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	connected := make(chan struct{}, 2)
	go func() {
		defer close(done)
		last := ""
		for range 2 {
			last = follow(ctx, h, query, last, &seen, connected)
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	select {
	case <-connected:
	case <-time.After(time.Minute):
		t.Fatal("the tail does not begin")
	}
	return seen.String
}

// follow reads a stream to its end, the first one only up to its third event, and returns the last id.
func follow(ctx context.Context, h *harness.Hub, query, last string, seen *outputBuffer, connected chan<- struct{}) string {
	req, err := http.NewRequestWithContext(ctx, "GET", "http://"+h.HTTP+"/v1/messages:tail"+strings.Replace(query, "&limit=500", "", 1), nil)
	if err != nil {
		return last
	}
	req.Header.Set("Authorization", "Bearer "+h.Key)
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return last
	}
	defer resp.Body.Close()
	first := last == ""
	sc := bufio.NewScanner(resp.Body)
	for n := 0; sc.Scan(); {
		line := sc.Text()
		if strings.HasPrefix(line, ": connected") {
			connected <- struct{}{}
		}
		if id, ok := strings.CutPrefix(line, "id: "); ok {
			last = id
		}
		if data, ok := strings.CutPrefix(line, "data: "); ok && last != "" {
			seen.add(data)
			if n++; first && n == 3 {
				return last
			}
		}
	}
	return last
}

// outputBuffer may be written and read at the same time.
type outputBuffer struct {
	mu  sync.Mutex // guards buf
	buf strings.Builder
}

func (o *outputBuffer) add(line string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.buf.WriteString(line + "\n")
}

func (o *outputBuffer) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}
