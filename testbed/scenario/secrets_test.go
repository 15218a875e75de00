package scenario

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/testbed/harness"
)

// planted are secrets by what they are, and everything that the hub has said where none belongs.
type planted struct {
	t       *testing.T
	hub     *harness.Hub
	secrets map[string]string
	said    bytes.Buffer
}

// ask makes a request that should fail, or answer something that holds no secret, and keeps the answer.
func (p *planted) ask(method, path, key, body string, header http.Header) int {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), method, "http://"+p.hub.HTTP+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	if header != nil {
		req.Header = header
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	fmt.Fprintf(&p.said, "%s %s: %d %v %s\n", method, strings.Split(path, "?")[0], res.StatusCode, res.Header, b)
	return res.StatusCode
}

// login tries MQTT and publishes when it gets in.
func (p *planted) login(clientID, user, password, topicName string) {
	p.t.Helper()
	opts := mqtt.NewClientOptions().AddBroker("tcp://" + p.hub.MQTT).SetClientID(clientID).SetUsername(user).SetPassword(password).
		SetAutoReconnect(false).SetConnectTimeout(time.Minute).SetKeepAlive(60 * time.Second)
	c := mqtt.NewClient(opts)
	if tok := c.Connect(); !tok.WaitTimeout(time.Minute) || tok.Error() != nil {
		fmt.Fprintf(&p.said, "login: %v\n", tok.Error())
		return
	}
	defer c.Disconnect(100)
	c.Publish(topicName, 1, false, `{"a":`).WaitTimeout(time.Minute)
}

// run is a command of the hub's binary; its output holds no secret, whatever becomes of it.
func (p *planted) run(env []string, args ...string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, harness.Binary(p.t, "hub"), args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	fmt.Fprintf(&p.said, "%s: %v\n%s\n", args[0], err, out)
}

// TestSecretsAreNowhere plants secrets wherever one can be given, does everything wrong with them, and looks for them in the log
// at level debug, in answers, metrics, and in the files of the store.
func TestSecretsAreNowhere(t *testing.T) {
	p := &planted{t: t, secrets: map[string]string{"sink's header": "plantedSinkHeader77", "URL's password": "plantedURL77", "URL's token": "plantedToken77", "DSN's password": "plantedDSN77", "bus's password": "plantedBus77",
		"OIDC client's": "plantedOIDC77", "user's password": "plantedPassword77"}}
	p.hub = harness.StartHub(t, harness.HubOptions{Env: []string{"HAWSER_OIDC_CLIENT_SECRET=plantedOIDC77"},
		Args: []string{"--log-level", "debug", "--rule-allow-local", "--oidc-issuer", "http://127.0.0.1:1", "--oidc-client-id", "hub", "--device-base-url", "http://127.0.0.1"}})
	hub := p.hub
	var product struct{ ProductSN, ProductSecret string }
	if err := hub.Call("POST", "/v1/products", map[string]any{"name": "p", "dynamicRegister": true}, &product); err != nil {
		t.Fatal(err)
	}
	d := hub.Devices(product.ProductSN, 1)[0]
	var viewer struct{ ID, Key string }
	if err := hub.Call("POST", "/v1/api-keys", map[string]any{"name": "v", "role": "viewer"}, &viewer); err != nil {
		t.Fatal(err)
	}
	var issued struct{ PrivateKey string }
	if err := hub.Call("POST", "/v1/products/"+d.ProductSN+"/devices/"+d.DeviceSN+"/certificates", map[string]any{}, &issued); err != nil {
		t.Fatal(err)
	}
	var token struct{ Token string }
	body := fmt.Sprintf(`{"ProductSN":%q,"DeviceSN":%q}`, d.ProductSN, d.DeviceSN)
	signature := credential.SignBody(credential.Secret(d.DeviceSecret), []byte(body))
	tokenOf(t, hub, body, signature, &token)
	rule := map[string]any{"name": "r", "enabled": true, "sql": `SELECT * FROM "/` + d.ProductSN + `/+/upload"`, "actions": []any{map[string]any{"kind": "http",
		"url": "http://u:" + p.secrets["URL's password"] + "@127.0.0.1:1/?token=" + p.secrets["URL's token"], "headers": map[string]string{"Authorization": "Bearer " + p.secrets["sink's header"]}}}}
	if err := hub.Call("POST", "/v1/rules", rule, nil); err != nil {
		t.Fatal(err)
	}
	if err := hub.Call("POST", "/v1/users", map[string]any{"login": "ada", "password": p.secrets["user's password"]}, nil); err != nil {
		t.Fatal(err)
	}
	var session struct{ Token string }
	if err := hub.Call("POST", "/v1/login", map[string]any{"login": "ada", "password": p.secrets["user's password"]}, &session); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]string{"user's session": session.Token[len("hws_000000000000"):], "product's": product.ProductSecret, "device's": d.DeviceSecret, "owner's key": hub.Key[len("hwk_000000000000"):],
		"viewer's key": viewer.Key[len("hwk_000000000000"):], "token": token.Token, "private key": strings.Split(issued.PrivateKey, "\n")[1], "keyring": keyOf(t, hub)} {
		if len(s) < 12 {
			t.Fatalf("%s secret %q is too short to be one", name, s)
		}
		p.secrets[name] = s
	}
	p.wrongLogins(d, product.ProductSecret, viewer.Key)
	p.wrongRequests(d, viewer.Key, token.Token, signature, body)
	p.wrongCommands()
	p.ask("GET", "/metrics", "", "", nil)
	if code := p.ask("GET", "/v1/audit?limit=1000", hub.Key, "", nil); code != http.StatusOK { // what was done and asked for, diffs too
		t.Errorf("audit log: %d", code)
	}
	for name, s := range p.secrets {
		for where, text := range map[string]string{"log": hub.Log(), "answers": p.said.String()} {
			if i := strings.Index(text, s); i >= 0 {
				t.Errorf("the %s secret is in the %s: …%s…", name, where, text[max(0, i-200):min(len(text), i+200)])
			}
		}
	}
	p.inFiles()
}

func tokenOf(t *testing.T, hub *harness.Hub, body, signature string, out any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+hub.HTTP+"/auth", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", signature)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if err := json.NewDecoder(res.Body).Decode(out); err != nil {
		t.Fatal(err)
	}
}

// keyOf is the key in the hub's keyring.
func keyOf(t *testing.T, hub *harness.Hub) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(hub.Data, "keyring"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if !strings.HasPrefix(line, "#") {
			return strings.Fields(line)[2]
		}
	}
	t.Fatal("no key in the keyring")
	return ""
}

// wrongLogins has secrets in each field of CONNECT that is not theirs, and messages that are refused. Each secret gets a device of its
// own: whoever is wrong too often waits.
func (p *planted) wrongLogins(d harness.Credentials, productSecret, key string) {
	others := p.hub.Devices(d.ProductSN, len(p.secrets))
	for _, secret := range p.secrets {
		o := others[0]
		others = others[1:]
		name, good := o.ProductSN+"|"+o.DeviceSN, o.Topic("upload")
		p.login(o.ClientID(), o.UserName(), secret, good)
		p.login(o.ClientID(), name+"|2", secret, good)
		p.login(o.ClientID(), name+"|3|ts=1", secret, good)
		p.login(o.ClientID(), name+"|3|ts=n:"+secret, secret, good)
		p.login(o.ClientID(), name+"|x509", secret, good)
		p.login(o.ClientID(), secret, o.DeviceSecret, good)
		p.login(o.ClientID(), name+"|"+secret, o.DeviceSecret, good)
		p.login("any", "app|"+secret, secret, good)
	}
	name, good := d.ProductSN+"|"+d.DeviceSN, d.Topic("upload")
	p.login("any", "app|nosuchkey000", p.secrets["sink's header"], good)
	p.login(d.ClientID(), d.UserName(), d.DeviceSecret, d.System("password"))
	p.login(d.ClientID(), d.UserName(), d.DeviceSecret, d.System("tmodel/property/post"))
	p.login(d.ClientID(), d.UserName(), d.DeviceSecret, d.System("shadow/upstream"))
	p.login(d.ClientID(), d.UserName(), d.DeviceSecret, good)
	p.login("viewer", "app|"+key[4:16], key, good)
	p.login(d.ClientID(), name+"|2", productSecret, good)
}

// wrongRequests has secrets in bodies that are no JSON, members that want something else, headers and queries.
func (p *planted) wrongRequests(d harness.Credentials, viewer, token, signature, body string) {
	device := "/v1/products/" + d.ProductSN + "/devices/" + d.DeviceSN
	for _, s := range p.secrets {
		for _, b := range []string{s, `{"name":` + s, fmt.Sprintf(`{"name":{%q:1}}`, s), fmt.Sprintf(`{"name":%q,"kind":%q,"role":%q,"sql":%q,"expiresAt":%q}`, s, s, s, s, s)} {
			for _, path := range []string{"/v1/products", "/v1/api-keys", device + "/commands", device + "/certificates", "/v1/products/" + d.ProductSN + "/cas"} {
				p.ask("POST", path, viewer, b, nil)
			}
		}
		p.ask("POST", "/v1/api-keys", p.hub.Key, fmt.Sprintf(`{"name":"x","role":%q}`, s), nil)
		p.ask("POST", "/v1/products/"+d.ProductSN+"/cas", p.hub.Key, fmt.Sprintf(`{"certificate":%q,"proof":%q}`, s, s), nil)
		p.ask("POST", device+"/certificates", p.hub.Key, fmt.Sprintf(`{"csr":%q}`, s), nil)
		p.ask("GET", "/v1/products", s, "", nil)
		p.ask("GET", "/v1/products", "hwk_"+s, "", nil)
		p.ask("POST", "/auth", "", `{"ProductSN":"`+s+`"`, http.Header{"Authorization": {s}})
		p.ask("POST", "/topic"+d.Topic("upload"), "", "{}", http.Header{"Password": {s}})
		p.ask("POST", "/v1/rules", p.hub.Key, fmt.Sprintf(`{"name":"q","sql":"SELECT * FROM \"a\"","actions":[{"kind":"http","url":"http://127.0.0.1:1","headers":{"Authorization":%q},"timeoutSeconds":"x"}]}`, s), nil)
		p.ask("POST", "/v1/rules", p.hub.Key, fmt.Sprintf(`{"name":"q","sql":"SELECT * FROM \"a\"","actions":[{"kind":"http","url":"ftp://u:%s@h","headers":{"bad header":%q}}]}`, s, s), nil)
	}
	for _, path := range []string{"/auth", "/certificate"} {
		p.ask("POST", path, "", body, http.Header{"Authorization": {p.secrets["sink's header"]}})
	}
	p.ask("POST", "/v1/login", "", `{"login":"ada","password":"wrong password"}`, nil)
	p.ask("POST", "/v1/login", "", fmt.Sprintf(`{"login":{},"password":%q}`, p.secrets["user's password"]), nil)
	p.ask("POST", "/v1/login/oidc", "", `{"returnTo":"/"}`, nil)
	p.ask("GET", "/v1/login/oidc/callback?state="+p.secrets["token"]+"&code="+p.secrets["OIDC client's"], "", "", nil)
	p.ask("POST", "/v1/me/password", p.secrets["user's session"], fmt.Sprintf(`{"old":%q}`, p.secrets["user's password"]), nil)
	p.ask("POST", "/topic"+d.Topic("nowhere"), "", "{}", http.Header{"Password": {token}})
	p.ask("POST", "/topic"+d.Topic("upload"), "", "{}", http.Header{"Password": {token}})
	p.ask("POST", "/certificate", "", body, http.Header{"Authorization": {signature}})
	for _, path := range []string{"/v1/products", "/v1/products/" + d.ProductSN, device, "/v1/products/" + d.ProductSN + "/devices", "/v1/api-keys", "/v1/ca", "/v1/info", "/v1/rules",
		device + "/certificates"} {
		if code := p.ask("GET", path, viewer, "", nil); code/100 == 5 {
			p.t.Errorf("GET %s: %d", path, code)
		}
	}
}

// wrongCommands starts hubs that cannot start, and prints configurations.
func (p *planted) wrongCommands() {
	dir := p.t.TempDir()
	dsn, bus := "postgres://u:"+p.secrets["DSN's password"]+"@127.0.0.1:1/d?connect_timeout=1", "nats://u:"+p.secrets["bus's password"]+"@127.0.0.1:1"
	off := []string{"--mqtt-addr", "off", "--mqtts-addr", "off", "--http-addr", "off", "--https-addr", "off", "--log-level", "debug"}
	ring := []string{"HAWSER_KEYRING=" + p.secrets["keyring"]}
	p.run(nil, append([]string{"serve", "--data", filepath.Join(dir, "a"), "--store-dsn", dsn}, off...)...)
	p.run(nil, append([]string{"serve", "--data", filepath.Join(dir, "b"), "--nats-url", bus}, off...)...)
	p.run([]string{"HAWSER_STORE_DSN=" + dsn, "HAWSER_NATS_URL=" + bus}, "config")
	p.run(append(ring, "HAWSER_OIDC_CLIENT_SECRET="+p.secrets["OIDC client's"]), "config", "--oidc-issuer", "https://id.example.com", "--oidc-client-id", "hub")
	p.run(ring, "keyring", "list", "--data", filepath.Join(dir, "c"))
	p.run(ring, "keyring", "rotate", "--data", filepath.Join(dir, "c"))
	p.run([]string{"HAWSER_KEYRING=x" + p.secrets["keyring"]}, "keyring", "list", "--data", filepath.Join(dir, "c"))
	p.run(nil, "keyring", "list", "--data", p.hub.Data)
}

// inFiles looks into the store's files, the write-ahead log included, while the hub runs and after it was killed.
func (p *planted) inFiles() {
	p.t.Helper()
	look := func() {
		files, err := filepath.Glob(filepath.Join(p.hub.Data, "hawser.db*"))
		if err != nil || len(files) == 0 {
			p.t.Fatalf("files of the store: %v, %v", files, err)
		}
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				p.t.Fatal(err)
			}
			for name, s := range p.secrets {
				if bytes.Contains(b, []byte(s)) {
					p.t.Errorf("the %s secret is in %s", name, file)
				}
			}
		}
	}
	look()
	p.hub.Kill()
	look()
}
