package api_test

import (
	"database/sql"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/pquerna/otp/totp"
	_ "modernc.org/sqlite" // lets the audit log's table refuse an entry

	"github.com/hawser-iot/hawser/cloud/account"
)

// saboteur has the audit log's table refuse entries, in a hub's own data file.
type saboteur struct {
	t  *testing.T
	db *sql.DB
}

func newSaboteur(t *testing.T, data string) *saboteur {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(data, "hawser.db")+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	s := &saboteur{t, db}
	for _, q := range []string{`CREATE TABLE planted (refuse INTEGER)`, `INSERT INTO planted VALUES (0)`,
		`CREATE TRIGGER planted BEFORE INSERT ON audit WHEN (SELECT refuse FROM planted) BEGIN SELECT RAISE(ABORT, 'planted'); END`} {
		s.exec(q)
	}
	return s
}

func (s *saboteur) exec(q string, args ...any) {
	s.t.Helper()
	if _, err := s.db.Exec(q, args...); err != nil {
		s.t.Fatal(err)
	}
}

func (s *saboteur) refuse(yes bool) { s.exec(`UPDATE planted SET refuse = ?`, yes) }

// entries are the results of the entries of a request.
func (s *saboteur) entries(request string) (results []int) {
	s.t.Helper()
	rows, err := s.db.Query(`SELECT result FROM audit WHERE request = ?`, request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var n int
		if err := rows.Scan(&n); err != nil {
			s.t.Fatal(err)
		}
		results = append(results, n)
	}
	if err := rows.Err(); err != nil {
		s.t.Fatal(err)
	}
	return results
}

// audits tells whether a request of r changes something; a trial of a rule and the plan of a campaign do not.
func (r *route) audits() bool {
	return r.method != http.MethodGet && !r.open() && r.ID != "tryRule" && r.ID != "planCampaign"
}

// bodies make changes of what an example of the document alone would not change.
var bodies = map[string]string{
	"addSubdevices":         `{"subdevices":[{"productSN":"{subdeviceProductSN}","deviceSN":"{subdeviceSN}"}]}`,
	"addGroupDevices":       `{"devices":[{"productSN":"{productSN}","deviceSN":"{deviceSN}"}]}`,
	"removeGroupDevices":    `{"devices":[{"productSN":"{productSN}","deviceSN":"{deviceSN}"}]}`,
	"callCommand":           `{"identifier":"dim","async":true}`,
	"changePassword":        `{"password":"long enough","newPassword":"longer than that"}`,
	"commandDevices":        `{"identifier":"dim"}`,
	"commandFleet":          `{"identifier":"dim"}`,
	"confirmTOTP":           `{"code":"{code}"}`,
	"createConnector":       `{"name":"made","kind":"tsdb","config":{"url":"http://localhost:1","database":"d"}}`,
	"testConnector":         `{"kind":"tsdb","config":{"url":"http://localhost:1","database":"d"}}`,
	"updateConnector":       `{"name":"other","config":{"url":"http://localhost:2","database":"d"}}`,
	"createAlarmChannel":    `{"name":"made","kind":"slack","config":{"url":"http://localhost:1/x"}}`,
	"updateAlarmChannel":    `{"name":"other"}`,
	"createAlarmRule":       `{"name":"made","severity":"minor","condition":{"kind":"metric","metric":"errors_up","op":">","value":100}}`,
	"updateAlarmRule":       `{"name":"other","severity":"minor","condition":{"kind":"metric","metric":"errors_up","op":">","value":10}}`,
	"createDevices":         `{"count":2}`,
	"createRule":            `{"name":"made","sql":"SELECT * FROM '/+/+/upload'"}`,
	"disableTOTP":           `{"password":"long enough","recoveryCode":"{recovery}"}`,
	"enrolTOTP":             `{"password":"long enough"}`,
	"importDevices":         "deviceSN\nimported-1\n",
	"addMember":             `{"user":"{user}","role":"viewer"}`,
	"broadcast":             `{"topic":"all","payload":"x"}`,
	"publishDevices":        `{"topic":"set","payload":"x"}`,
	"publishFleet":          `{"topic":"set","payload":"x"}`,
	"requestDevice":         `{"topic":"set","replyTopic":"upload","payload":"x"}`,
	"publish":               `{"topic":"set","payload":"x"}`,
	"renewRecoveryCodes":    `{"password":"long enough","recoveryCode":"{recovery}"}`,
	"revokeCertificate":     `{"reason":"superseded"}`,
	"setFilePolicy":         `{"maxSize":1000000,"maxFiles":10,"maxBytes":2000000,"productBytes":0,"keepSeconds":86400,"classes":["image"]}`,
	"setMember":             `{"role":"engineer"}`,
	"setProperties":         `{"property":{"target":20},"desired":true}`,
	"setDeviceAgentConfig":  `{"document":"log: {level: debug}"}`,
	"setProductAgentConfig": `{"document":"log: {level: debug}"}`,
	"setGroupAgentConfig":   `{"document":"log: {level: debug}"}`,
	"setScript":             `{"source":"function rawDataToJSON() { return {} }"}`,
	"setThingModel":         lampModel,
	"tryScript":             `{"source":"function rawDataToJSON() { return {} }"}`,
	"updateDevice":          `{"name":"hall"}`,
	"updateGroup":           `{"description":"other"}`,
	"updateProduct":         `{"description":"other"}`,
	"updateProject":         `{"description":"other"}`,
	"updateRule":            `{"name":"other","sql":"SELECT * FROM '/+/+/upload'"}`,
	"updateShadow":          `{"desired":{"a":1}}`,
	"updateUser":            `{"name":"other"}`,
	"bulkDevices":           `{"action":"disable"}`,
	"bulkFleet":             `{"action":"disable","filter":"product:{productSN}"}`,
}

const lampModel = `{"Property":[{"Identifier":"target","Name":"t","AccessMode":"rw","DataType":{"Type":"float64","Spec":{"Min":5,"Max":30}}}],
	"Command":[{"Identifier":"dim","Name":"dim"}]}`

// otherwise are the changes that need more than this test can give them, and where they are made.
var otherwise = map[string]string{
	"addProductCA":             "TestCAsOfOthers",
	"removeProductCA":          "TestCAsOfOthers",
	"revokeForeignCertificate": "TestCAsOfOthers",
	"replayDeadLetter":         "cmd/hawserctl, ruledead.txtar: a target has to refuse it",
	"deleteDeadLetter":         "cmd/hawserctl, ruledead.txtar: a target has to refuse it",
	"purgeDeadLetters":         "cmd/hawserctl, ruledead.txtar: it wants a filter in the query",
	"deleteFile":               "cmd/hawserctl, file.txtar: a device has to send it",
	"cancelUpload":             "cmd/hawserctl, file.txtar: a device has to begin it",
	"deleteFirmware":           "cmd/hawserctl, firmware.txtar",
	"addRoot":                  "cmd/hawserctl, firmwarepush.txtar: it wants signatures",
	"addRelease":               "cmd/hawserctl, firmwarepush.txtar: it wants signatures",
	"retireDirector":           "cmd/hawserctl, firmwarepush.txtar: there has to be another",
	"putImage":                 "cmd/hawserctl, firmwarepush.txtar: it wants signatures",
	"createOTATask":            "cmd/hawserctl, firmware.txtar",
	"cancelOTATask":            "cmd/hawserctl, firmware.txtar",
	"createCampaign":           "cmd/hawserctl, campaign.txtar",
	"updateCampaign":           "cmd/hawserctl, campaign.txtar",
	"approveCampaign":          "cmd/hawserctl, campaign.txtar",
	"pauseCampaign":            "cmd/hawserctl, campaign.txtar",
	"resumeCampaign":           "cmd/hawserctl, campaign.txtar",
	"abortCampaign":            "cmd/hawserctl, campaign.txtar",
	"retryCampaign":            "cmd/hawserctl, campaign.txtar",
	"rollbackCampaign":         "cmd/hawserctl, campaign.txtar",
	"askAgentDiagnosis":        "testbed/scenario, TestAgentFromAfar: it wants an agent",
	"acknowledgeAlarm":         "TestAlarms: a device has to cause it",
	"clearAlarm":               "TestAlarms: a device has to cause it",
	"cancelJob":                "TestCancel: here a job is over before it can be cancelled",
	"acceptTopologyRequest":    "TestTopology: a gateway has to ask first",
	"refuseTopologyRequest":    "TestTopology: a gateway has to ask first",
}

// ready makes what r changes and returns its path, and the key to change it with.
func (p *place) ready(r *route, n int) (path, key string) {
	p.t.Helper()
	p.fresh(r.path, n)
	set := func(name string, a answer, member ...string) { p.params[name] = a.get(member...) }
	device := p.fill("/v1/products/{productSN}/devices/{deviceSN}")
	key = p.hub[account.RoleOwner]
	switch r.ID {
	case "deleteProject", "updateProject":
		p.params["projectID"] = fmt.Sprintf("project-%d", n)
		p.must("POST", "/v1/projects", p.expand(`{"id":"{projectID}"}`))
	case "addMember":
		set("user", p.must("POST", "/v1/users", fmt.Sprintf(`{"login":"other-%d"}`, n)), "id")
	case "callCommand", "setProperties", "cancelCommand":
		p.must("PUT", p.fill("/v1/products/{productSN}/thing-model"), lampModel)
	case "addSubdevices", "removeSubdevice":
		for kind, at := range map[string][2]string{"gateway": {"productSN", "deviceSN"}, "subdevice": {"subdeviceProductSN", "subdeviceSN"}} {
			set(at[0], p.must("POST", "/v1/products", fmt.Sprintf(`{"name":%q,"kind":%q}`, kind, kind)), "productSN")
			set(at[1], p.must("POST", "/v1/products/"+p.params[at[0]]+"/devices", `{}`), "deviceSN")
		}
		if r.ID == "removeSubdevice" {
			p.must("POST", p.fill("/v1/products/{productSN}/devices/{deviceSN}/subdevices"), p.expand(bodies["addSubdevices"]))
		}
	case "deleteDeviceAgentConfig", "deleteProductAgentConfig", "deleteGroupAgentConfig":
		p.must("PUT", p.fill(r.path), bodies["setDeviceAgentConfig"])
	case "deleteScript":
		p.must("PUT", p.fill("/v1/products/{productSN}/script"), bodies["setScript"])
	case "restoreModelVersion":
		product := p.fill("/v1/products/{productSN}")
		p.must("PUT", product+"/thing-model", lampModel)
		p.must("PATCH", product, `{"published":true}`)
		p.must("PATCH", product, `{"published":false}`)
		p.params["version"] = "1"
	case "retireCA":
		p.must("POST", "/v1/cas", "")
		set("caID", p.must("GET", "/v1/cas", ""), "items", "1", "id")
	case "enableRule":
		p.must("PUT", p.fill("/v1/rules/{ruleID}"), fmt.Sprintf(`{"name":"r-%d","sql":"SELECT * FROM '/+/+/upload'","actions":[{"kind":"http","url":"https://example.com"}]}`, n))
	case "revokeCertificate":
		set("serial", p.must("POST", device+"/certificates", `{}`), "certificate", "serial")
	}
	switch r.ID {
	case "publish":
		p.connect(device, nil, "/P/D/set")
	case "requestDevice":
		p.connect(device, func(c mqtt.Client, m mqtt.Message) {
			c.Publish(strings.TrimSuffix(m.Topic(), "set")+"upload", 1, false, "y")
		}, "/P/D/set")
	case "callCommand":
		p.connect(device, nil, "/$system/P/D/tmodel/command")
	case "cancelCommand":
		set("requestID", p.must("POST", device+"/commands", `{"identifier":"dim","queueSeconds":3600}`), "requestID")
	}
	if strings.HasPrefix(r.path, "/v1/me") || r.path == "/v1/logout" || r.ID == "endSession" {
		key = p.session(r, n)
	}
	path = p.fill(r.path)
	delete(p.params, "caID") // it is no product's
	if r.path == "/v1/projects/{projectID}" {
		p.params["projectID"] = "default"
	}
	return path, key
}

// session is a new user's, who has a second factor when r is about one, and two sessions.
func (p *place) session(r *route, n int) string {
	p.t.Helper()
	login := fmt.Sprintf("user-of-%d", n)
	p.params["userID"] = p.must("POST", "/v1/users", fmt.Sprintf(`{"login":%q,"password":"long enough"}`, login)).get("id")
	in := fmt.Sprintf(`{"login":%q,"password":"long enough"}`, login)
	p.params["sessionID"] = p.must("POST", "/v1/login", in, "Authorization", "").get("id")
	u := *p.testHub
	u.key = p.must("POST", "/v1/login", in, "Authorization", "").get("token")
	if strings.Contains(r.path, "totp/") {
		secret := u.must("POST", "/v1/me/totp", `{"password":"long enough"}`).get("secret")
		p.present = func() {
			code, err := totp.GenerateCode(secret, time.Now())
			if err != nil {
				p.t.Fatal(err)
			}
			p.params["code"] = code
		}
		if p.present(); r.ID != "confirmTOTP" {
			p.params["recovery"] = u.must("POST", "/v1/me/totp/confirm", fmt.Sprintf(`{"code":%q}`, p.params["code"])).get("recoveryCodes", "0")
		}
	}
	if r.ID == "endSession" {
		return p.hub[account.RoleOwner]
	}
	return u.key
}

// A change whose entry cannot be stored is not made, whatever it is: every route of the document that changes something, also one that
// is new, has the entry in the transaction of the change.
func TestNoChangeWithoutItsEntry(t *testing.T) {
	p := newPlace(t)
	s := newSaboteur(t, p.data)
	p.bodies = bodies
	for _, m := range makers {
		p.fresh("{"+m.param+"}", 0)
	}
	for i, r := range p.paper.routes {
		if !r.audits() {
			continue
		}
		path, key := p.ready(r, 1000+i)
		before := p.all()
		s.refuse(true)
		status, code := p.ask(r, path, key)
		s.refuse(false)
		if status < 500 {
			t.Errorf("%s %s: %d %s, though its entry cannot be stored", r.method, path, status, code)
		}
		same(t, before, p.all())
		// The same request is a change when nothing is in its way, and then its entry is the only one, and whole.
		if r.ID == "confirmTOTP" { // half a minute may have passed
			p.present()
		}
		status, code = p.ask(r, path, key, "X-Request-Id", "change-"+r.ID)
		if done := status/100 == 2; done == (otherwise[r.ID] != "") {
			t.Errorf("%s: %s %s: %d %s; give it a body or what else it needs, or say in otherwise where it is held (%s)", r.ID, r.method, path, status, code, otherwise[r.ID])
		}
		if got := s.entries("change-" + r.ID); !slices.Equal(got, []int{status}) {
			t.Errorf("%s: answered %d, in the log are %v", r.ID, status, got)
		}
		eventually(t, "no job goes on by itself", func() bool {
			newest := p.must("GET", "/v1/jobs?limit=1", "", "X-Hawser-Project", "default")
			return newest.get("items", "0", "id") == "" || newest.get("items", "0", "finishedAt") != ""
		})
	}
}

// What a caller of the whole hub changes is in the log of the project that it is in, also when the caller has named none.
func TestEntriesAreInTheProjectOfTheThing(t *testing.T) {
	h := start(t)
	h.must("POST", "/v1/projects", `{"id":"farm"}`)
	in := []string{"X-Hawser-Project", "farm"}
	rule := "/v1/rules/" + h.must("POST", "/v1/rules", `{"name":"r","sql":"SELECT * FROM '/+/+/upload'"}`, in...).get("id")
	h.must("PUT", rule, `{"name":"other","sql":"SELECT * FROM '/+/+/upload'"}`)
	h.must("DELETE", rule, "")
	key := "/v1/api-keys/" + h.must("POST", "/v1/api-keys", `{"name":"k","role":"viewer","project":"farm"}`).get("id")
	h.must("DELETE", key, "")
	product := h.must("POST", "/v1/products", `{"name":"p"}`, in...).get("productSN")
	h.must("PATCH", "/v1/products/"+product, `{"name":"q"}`)
	h.must("POST", "/v1/rules", `{"name":"r","sql":"SELECT * FROM '/+/+/upload'"}`) // the default project's
	var got []string
	log := h.must("GET", "/v1/audit?limit=100", "", in...)
	for i := 0; log.get("items", fmt.Sprint(i), "id") != "" && i < 100; i++ {
		got = append(got, log.get("items", fmt.Sprint(i), "operation"))
	}
	want := []string{"updateProduct", "createProduct", "deleteAPIKey", "createAPIKey", "deleteRule", "updateRule", "createRule"}
	if !slices.Equal(got, want) {
		t.Errorf("in the project's log: %v, want %v", got, want)
	}
}

// A message that waits for a device is a row of its queue: that is the change, and it has its entry beside it.
func TestNoQueuedMessageWithoutItsEntry(t *testing.T) {
	h := start(t)
	s := newSaboteur(t, h.data)
	p := h.product(`{"name":"lamp"}`)
	d := h.must("POST", p+"/devices", `{"deviceSN":"lamp-1"}`)
	product, secret := d.get("productSN"), d.get("deviceSecret")
	heard := make(chan string, 10)
	connect := func() mqtt.Client {
		c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + h.mqtt).SetClientID(product + ".lamp-1").SetUsername(product + "|lamp-1|1").
			SetPassword(secret).SetCleanSession(false).SetAutoReconnect(false).SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { heard <- string(m.Payload()) }))
		h.token(c.Connect())
		return c
	}
	c := connect()
	h.token(c.Subscribe("/"+product+"/lamp-1/set", 1, nil))
	c.Disconnect(100)
	eventually(t, "the device is away", func() bool { return h.must("GET", p+"/devices/lamp-1", "").get("state") == "offline" })
	publish := func(payload string) answer {
		return h.do("POST", p+"/devices/lamp-1/publish", fmt.Sprintf(`{"topic":"set","payload":%q,"qos":1}`, payload), "X-Request-Id", payload)
	}
	s.refuse(true)
	if a := publish("refused"); a.status < 500 {
		t.Errorf("without an entry: %d %s", a.status, a.body)
	}
	s.refuse(false)
	if a := publish("queued"); a.get("outcome") != "queued" || !slices.Equal(s.entries("queued"), []int{200}) {
		t.Errorf("%d %s, entries %v", a.status, a.body, s.entries("queued"))
	}
	c = connect()
	defer c.Disconnect(0)
	if got := <-heard; got != "queued" {
		t.Errorf("the device hears %q", got)
	}
}
