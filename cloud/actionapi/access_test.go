package actionapi

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/hawser-iot/hawser/cloud/account"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/testbed/harness"
)

func TestMain(m *testing.M) {
	code := m.Run()
	harness.RemoveBinaries()
	os.Exit(code)
}

// Every action wants what the operation of the API wants that does the same, and is one of it in the audit log only when it changes
// something.
func TestSiblings(t *testing.T) {
	b, err := os.ReadFile("../api/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var paper struct {
		Paths map[string]map[string]yaml.Node
	}
	if err := yaml.Unmarshal(b, &paper); err != nil {
		t.Fatal(err)
	}
	type operation struct {
		ID         string `yaml:"operationId"`
		Permission string `yaml:"x-permission"`
		method     string
		path       string
	}
	ops := map[string]operation{}
	for path, methods := range paper.Paths {
		for method, node := range methods {
			op := operation{method: method, path: path}
			if method != "parameters" && node.Decode(&op) == nil {
				ops[op.ID] = op
			}
		}
	}
	for name, a := range actions {
		op, ok := ops[a.sibling]
		if !ok {
			t.Errorf("%s: the API has no operation %q", name, a.sibling)
			continue
		}
		need := a.need
		if name == "GetUIoTCoreInactivatedDevicePasswordFile" {
			need &^= account.DeviceSecret // the list leaves secrets out for those who may not see them
		}
		if need.String() != op.Permission {
			t.Errorf("%s wants %s, %s wants %s", name, need, a.sibling, op.Permission)
		}
		if a.change != (op.method != "get") || a.change != (a.object != "") {
			t.Errorf("%s: change %v under %q, but %s is a %s", name, a.change, a.object, a.sibling, op.method)
		}
		if strings.Contains(op.path, "{productSN}") != (a.of != "") {
			t.Errorf("%s is about the product in %q, %s has the path %s", name, a.of, a.sibling, op.path)
		}
	}
}

// Every action is in a conversation, with what it answers.
func TestEveryActionIsPlayed(t *testing.T) {
	files, err := filepath.Glob("../../testbed/conversation/testdata/action/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	var all []byte
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
	}
	for name := range actions {
		if !strings.Contains(string(all), `{"RetCode":0,"Action":"`+name+`Response"`) {
			t.Errorf("%s is answered in none of %d conversations", name, len(files))
		}
	}
}

// client speaks to a hub with one key pair.
type client struct {
	t               *testing.T
	hub             *harness.Hub
	public, private string
}

// pair makes a key pair of these fields.
func pair(t *testing.T, hub *harness.Hub, fields map[string]any) *client {
	t.Helper()
	body := map[string]any{"name": "k", "pair": true}
	maps.Copy(body, fields)
	var made struct{ PublicKey, PrivateKey string }
	if err := hub.Call("POST", "/v1/api-keys", body, &made); err != nil {
		t.Fatal(err)
	}
	return &client{t, hub, made.PublicKey, made.PrivateKey}
}

type reply struct {
	RetCode         message.Code
	Action, Message string
	ProductSN       string
	RuleID          string
}

// do sends a request and reads its answer.
func (c *client) do(values map[string]string) (r reply) {
	c.t.Helper()
	all := maps.Clone(values)
	all["PublicKey"] = c.public
	query := url.Values{}
	for name, v := range all {
		query.Set(name, v)
	}
	query.Set("Signature", string(signature(all, credential.Secret(c.private))))
	b := c.get("/?" + query.Encode())
	if err := json.Unmarshal(b, &r); err != nil {
		c.t.Fatalf("%v: %s", err, b)
	}
	return r
}

var httpClient = http.Client{Timeout: time.Minute}

func (c *client) get(path string) []byte {
	c.t.Helper()
	resp, err := httpClient.Get("http://" + c.hub.HTTP + path)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return b
}

// TestAccess asks for every action with a key of each role, and of another project.
func TestAccess(t *testing.T) {
	hub := harness.StartHub(t, harness.HubOptions{Args: []string{"--action-api", "--api-rate", "0"}})
	if err := hub.Call("POST", "/v1/projects", map[string]any{"id": "farm"}, nil); err != nil {
		t.Fatal(err)
	}
	stranger := pair(t, hub, map[string]any{"project": "farm", "role": "owner"})
	roles := map[account.Role]*client{}
	for _, role := range account.Roles() {
		roles[role] = pair(t, hub, map[string]any{"project": "default", "role": string(role)})
	}
	product := hub.Product(map[string]any{"name": "mine"})
	limited := pair(t, hub, map[string]any{"project": "default", "role": "owner", "products": []string{product}})
	other := hub.Product(map[string]any{"name": "other"})
	for _, name := range slices.Sorted(maps.Keys(actions)) {
		a := actions[name]
		// Nothing but the product is given, so that nobody gets as far as a change that would spoil what comes behind.
		asked := map[string]string{"Action": name, "ProductSN": product, "GWProductSN": product}
		spoils := a.of != "" && strings.HasPrefix(name, "DeleteUIoTCoreProduct") || name == "DisableUIoTCoreDeviceShadow" || strings.HasSuffix(name, "lishUIoTCoreProduct")
		for role, c := range roles {
			c.t = t
			if spoils {
				asked[a.of] = hub.Product(map[string]any{"name": "to spoil"})
			}
			r := c.do(asked)
			if forbidden := !role.Permissions().Has(a.need); (r.RetCode == codeForbidden) != forbidden {
				t.Errorf("%s as %s: %+v, want forbidden %v", name, role, r, forbidden)
			}
			if r.Action != name+"Response" {
				t.Errorf("%s: Action is %q", name, r.Action)
			}
		}
		stranger.t, limited.t = t, t
		if a.of == "" {
			continue
		}
		if r := stranger.do(asked); r.RetCode != message.CodeNoSuchProduct {
			t.Errorf("%s with another project's key: %+v", name, r)
		}
		asked["ProjectId"] = "default"
		if r := stranger.do(asked); r.RetCode != message.CodeNoSuchProduct {
			t.Errorf("%s with another project's key and our ProjectId: %+v", name, r)
		}
		asked[a.of] = other
		if r := limited.do(asked); r.RetCode != message.CodeNoSuchProduct {
			t.Errorf("%s of a product that the key is not for: %+v", name, r)
		}
	}
}

// What is asked of / is not taken from those who asked there before, and nothing is there when the API is off.
func TestRoot(t *testing.T) {
	for _, on := range []bool{true, false} {
		t.Run(fmt.Sprint(on), func(t *testing.T) {
			hub := harness.StartHub(t, harness.HubOptions{Args: []string{fmt.Sprintf("--action-api=%v", on)}})
			c := &client{t: t, hub: hub}
			for _, path := range []string{"/", "/?page=1", "/?action=x"} {
				if b := c.get(path); !strings.HasPrefix(string(b), "Hawser hub.") {
					t.Errorf("GET %s: %s", path, b)
				}
			}
			if b := c.get("/?Action=GetUIoTCoreProductList"); strings.Contains(string(b), `"RetCode":170`) != on {
				t.Errorf("GET with Action: %s", b)
			}
			resp, err := httpClient.Post("http://"+hub.HTTP+"/", "application/json", strings.NewReader(`{}`))
			if err != nil {
				t.Fatal(err)
			}
			b, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if strings.Contains(string(b), `"RetCode":160`) != on {
				t.Errorf("POST without an Action: %s", b)
			}
		})
	}
}

// An own address has the Action API alone, and it is no more on the common one.
func TestFace(t *testing.T) {
	addr := harness.FreeAddr(t)
	hub := harness.StartHub(t, harness.HubOptions{Args: []string{"--action-api", "--face-addrs", "action=http://" + addr}})
	const path = "/?Action=GetUIoTCoreProductList"
	if b := (&client{t: t, hub: hub}).get(path); strings.Contains(string(b), "RetCode") {
		t.Errorf("on the common address: %s", b)
	}
	hub.HTTP = addr
	if b := (&client{t: t, hub: hub}).get(path); !strings.Contains(string(b), `"RetCode":170`) {
		t.Errorf("on its own: %s", b)
	}
}

// A key that asks too often is told so, and others are not.
func TestAllowance(t *testing.T) {
	hub := harness.StartHub(t, harness.HubOptions{Args: []string{"--action-api", "--api-rate", "1", "--api-burst", "2"}})
	a, b := pair(t, hub, map[string]any{"project": "default", "role": "viewer"}), pair(t, hub, map[string]any{"project": "default", "role": "viewer"})
	list := map[string]string{"Action": "GetUIoTCoreProductList"}
	refused := false
	for range 10 {
		refused = refused || a.do(list).RetCode == codeTooOften
	}
	if !refused {
		t.Error("ten requests at once are all answered, with a burst of 2")
	}
	if r := b.do(list); r.RetCode != message.CodeOK {
		t.Errorf("another key: %+v", r)
	}
}
