package api_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/hawser-iot/hawser/cloud/account"
)

// route is an operation of the document, with what is needed to make a request of it.
type route struct {
	ID         string                 `yaml:"operationId"`
	Permission string                 `yaml:"x-permission"`
	Scope      string                 `yaml:"x-scope"`
	Security   *[]map[string][]string `yaml:"security"`
	Parameters []yaml.Node            `yaml:"parameters"`
	Body       struct {
		Content map[string]struct {
			Schema yaml.Node `yaml:"schema"`
		} `yaml:"content"`
	} `yaml:"requestBody"`

	method, path string
}

func (r *route) open() bool { return r.Security != nil && len(*r.Security) == 0 }

// paper is the document as the test needs it.
type paper struct {
	t          *testing.T
	Components struct {
		Schemas    map[string]yaml.Node `yaml:"schemas"`
		Parameters map[string]yaml.Node `yaml:"parameters"`
	} `yaml:"components"`
	routes []*route
}

func readPaper(t *testing.T) *paper {
	t.Helper()
	b, err := os.ReadFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	p := &paper{t: t}
	var paths struct {
		Paths map[string]map[string]yaml.Node
	}
	for _, into := range []any{p, &paths} {
		if err := yaml.Unmarshal(b, into); err != nil {
			t.Fatal(err)
		}
	}
	for path, methods := range paths.Paths {
		for method, node := range methods {
			if method == "parameters" {
				continue
			}
			r := &route{method: strings.ToUpper(method), path: path}
			if err := node.Decode(r); err != nil {
				t.Fatal(err)
			}
			p.routes = append(p.routes, r)
		}
	}
	slices.SortFunc(p.routes, func(a, b *route) int { return strings.Compare(a.path+a.method, b.path+b.method) })
	return p
}

// schema is what an example is made from.
type schema struct {
	Ref        string               `yaml:"$ref"`
	Type       string               `yaml:"type"`
	Enum       []string             `yaml:"enum"`
	Example    yaml.Node            `yaml:"example"`
	Minimum    int                  `yaml:"minimum"`
	Required   []string             `yaml:"required"`
	Properties map[string]yaml.Node `yaml:"properties"`
	Format     string               `yaml:"format"`
}

// example is a value that fits a schema, no larger than it must be.
func (p *paper) example(node yaml.Node) any {
	var s schema
	if err := node.Decode(&s); err != nil {
		p.t.Fatal(err)
	}
	var given any
	switch {
	case s.Ref != "":
		return p.example(p.Components.Schemas[s.Ref[strings.LastIndexByte(s.Ref, '/')+1:]])
	case s.Example.Decode(&given) == nil && given != nil:
		return given
	case len(s.Enum) > 0:
		return s.Enum[0]
	case s.Format == "date-time":
		return "2099-01-01T00:00:00Z"
	}
	switch s.Type {
	case "array":
		return []any{}
	case "integer", "number":
		return max(s.Minimum, 1)
	case "boolean":
		return false
	case "object":
		out := map[string]any{}
		for _, name := range s.Required {
			out[name] = p.example(s.Properties[name])
		}
		return out
	}
	return "example"
}

// body is an example of what the operation takes.
func (p *paper) body(r *route) (text, contentType string) {
	for contentType, c := range r.Body.Content {
		if contentType != "application/json" {
			return "example", contentType
		}
		b, err := json.Marshal(p.example(c.Schema))
		if err != nil {
			p.t.Fatal(err)
		}
		return string(b), contentType
	}
	return "", "application/json"
}

// query has an example for each parameter that must be given.
func (p *paper) query(r *route) string {
	var parts []string
	for _, node := range r.Parameters {
		var param struct {
			Name, In string
			Required bool
			Schema   yaml.Node
		}
		if err := node.Decode(&param); err != nil {
			p.t.Fatal(err)
		}
		if param.In == "query" && param.Required {
			parts = append(parts, fmt.Sprintf("%s=%v", param.Name, p.example(param.Schema)))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return "?" + strings.Join(parts, "&")
}

// place is a hub with one of each thing in the default project, and strangers who have nothing in it.
type place struct {
	*testHub
	paper  *paper
	params map[string]string
	// hub are keys of the hub as a whole by role, keys those of the default project.
	hub, keys map[account.Role]string
	stranger  string // the owner's key of another project
	// bodies are for operations that an example of the document is not enough for.
	bodies map[string]string
	// present gives the code of the second factor anew, which is good for less than a minute.
	present func()
}

func newPlace(t *testing.T) *place {
	t.Helper()
	h := startWith(t, map[string]string{"api-rate": "0"}) // a 429 would hide what the answer should have been
	p := &place{testHub: h, paper: readPaper(t), params: map[string]string{"projectID": "default"}, hub: map[account.Role]string{}, keys: map[account.Role]string{}}
	h.must("POST", "/v1/projects", `{"id":"farm"}`)
	for _, role := range account.Roles() {
		p.hub[role] = h.must("POST", "/v1/api-keys", fmt.Sprintf(`{"name":"h","role":%q}`, role)).get("key")
		p.keys[role] = h.must("POST", "/v1/api-keys", fmt.Sprintf(`{"name":"p","role":%q,"project":"default"}`, role)).get("key")
	}
	p.stranger = h.must("POST", "/v1/api-keys", `{"name":"s","role":"owner","project":"farm"}`).get("key")
	return p
}

// makers say how the thing is made that a path parameter names. A new parameter needs none: nothing is called "example".
var makers = []struct{ param, path, body, member string }{
	{"productSN", "/v1/products", `{"name":"mine"}`, "productSN"},
	{"deviceSN", "/v1/products/{productSN}/devices", `{}`, "deviceSN"},
	{"ruleID", "/v1/rules", `{"name":"r-%d","sql":"SELECT * FROM '/+/+/upload'"}`, "id"},
	{"connectorID", "/v1/connectors", `{"name":"c-%d","kind":"tsdb","config":{"url":"http://localhost:1","database":"d"}}`, "id"},
	{"alarmRuleID", "/v1/alarm-rules", `{"name":"a-%d","severity":"minor","condition":{"kind":"metric","metric":"errors_up","op":">","value":100}}`, "id"},
	{"channelID", "/v1/alarm-channels", `{"name":"h-%d","kind":"slack","config":{"url":"http://localhost:1/x"}}`, "id"},
	{"keyID", "/v1/api-keys", `{"name":"k","role":"viewer","project":"default"}`, "id"},
	{"userID", "/v1/users", `{"login":"user-%d","password":"long enough"}`, "id"},
	{"group", "/v1/groups", `{"name":"g-%d"}`, "name"},
}

// fresh makes what a path names, so that one request cannot spoil the next.
func (p *place) fresh(path string, n int) string {
	p.t.Helper()
	for _, m := range makers {
		if !strings.Contains(path, "{"+m.param+"}") {
			continue
		}
		body := m.body
		if strings.Contains(body, "%d") {
			body = fmt.Sprintf(body, n)
		}
		a := p.do("POST", p.fill(m.path), body)
		if a.status/100 == 2 {
			p.params[m.param] = a.get(m.member)
		}
		if m.param == "userID" {
			p.must("POST", "/v1/projects/default/members", fmt.Sprintf(`{"user":%q,"role":"viewer"}`, p.params[m.param]))
		}
	}
	return p.fill(path)
}

var parameter = regexp.MustCompile(`\{(\w+)\}`)

// expand puts what is known into a body, and leaves other braces alone.
func (p *place) expand(body string) string {
	for name, v := range p.params {
		body = strings.ReplaceAll(body, "{"+name+"}", v)
	}
	return body
}

func (p *place) fill(path string) string {
	return parameter.ReplaceAllStringFunc(path, func(name string) string {
		if v := p.params[strings.Trim(name, "{}")]; v != "" {
			return v
		}
		return "example"
	})
}

// ask makes a request of r at path and returns the status and the problem's code. Of a stream only the beginning is read.
func (p *place) ask(r *route, path, key string, head ...string) (status int, code string) {
	p.t.Helper()
	body, contentType := p.paper.body(r)
	if given := p.bodies[r.ID]; given != "" {
		body = p.expand(given)
	}
	req, err := http.NewRequestWithContext(p.t.Context(), r.method, p.url+path+p.paper.query(r), strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	for i := 0; i+1 < len(head); i += 2 {
		req.Header.Set(head[i], head[i+1])
	}
	client := *p.client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := client.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.Header.Get("Content-Type") == "text/event-stream" {
		return resp.StatusCode, ""
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp.StatusCode, answer{body: b}.get("code")
}

// moving are members of answers that change by themselves.
var moving = regexp.MustCompile(`"(lastUsedAt|seenAt|lastSeen|uptime|connections)":("[^"]*"|\d+),?`)

// all is what there is in the default project and in the hub's lists, as the owner sees it.
func (p *place) all() string {
	p.t.Helper()
	var b strings.Builder
	for _, r := range p.paper.routes {
		if r.method != http.MethodGet || r.open() || strings.HasSuffix(r.path, "events") || strings.HasPrefix(r.path, "/v1/audit") || strings.HasPrefix(r.path, "/v1/metrics") || r.path == "/v1/overview" || strings.HasPrefix(r.path, "/v1/me") {
			continue
		}
		a := p.do("GET", p.fill(r.path), "", "X-Hawser-Project", "default")
		if strings.HasPrefix(r.path, "/v1/projects") || strings.HasPrefix(r.path, "/v1/products/") || strings.HasPrefix(r.path, "/v1/users") {
			a = p.do("GET", p.fill(r.path), "")
		}
		fmt.Fprintf(&b, "%s %d %s\n", r.path, a.status, moving.ReplaceAll(regexp.MustCompile(`"requestID":"[^"]*"`).ReplaceAll(a.body, nil), nil))
	}
	return b.String()
}

func same(t *testing.T, before, after string) {
	t.Helper()
	was, is := strings.Split(before, "\n"), strings.Split(after, "\n")
	for i := range min(len(was), len(is)) {
		if was[i] != is[i] {
			t.Errorf("changed:\n%s\n%s", was[i], is[i])
		}
	}
}

// Every route of the document, also one that is new, wants a caller, keeps strangers out and lets in who has its x-permission and
// nobody else.
func TestEveryRoute(t *testing.T) {
	p := newPlace(t)
	for _, m := range makers {
		p.fresh("{"+m.param+"}", 0)
	}
	before := p.all()
	t.Run("no key", func(t *testing.T) {
		for _, r := range p.paper.routes {
			status, code := p.ask(r, p.fill(r.path), "")
			if refused := status == 401 && code == "unauthorized"; refused == r.open() {
				t.Errorf("%s %s: %d %s", r.method, r.path, status, code)
			}
		}
		same(t, before, p.all())
	})
	t.Run("another project's key", func(t *testing.T) {
		for _, r := range p.paper.routes {
			if r.open() {
				continue
			}
			for _, head := range [][]string{nil, {"X-Hawser-Project", "default"}} {
				status, code := p.ask(r, p.fill(r.path), p.stranger, head...)
				inPath := regexp.MustCompile(`\{(productSN|deviceSN|ruleID|keyID|group|userID|projectID)\}`).MatchString(r.path)
				named := head != nil && r.Permission != "self" && r.Scope == ""
				if (inPath || named) && status != 404 && status != 403 {
					t.Errorf("%s %s %v: %d %s", r.method, r.path, head, status, code)
				}
				if status == 500 || status == 429 {
					t.Errorf("%s %s: %d %s", r.method, r.path, status, code)
				}
			}
		}
		same(t, before, p.all())
	})
	for _, role := range account.Roles() {
		t.Run(string(role), func(t *testing.T) {
			p.t = t
			for i, r := range p.paper.routes {
				if !r.open() {
					p.try(r, role, i*len(account.Roles())+slices.Index(account.Roles(), role)+1)
				}
			}
		})
	}
}

// try asks r as a role of the project and of the hub.
func (p *place) try(r *route, role account.Role, n int) {
	p.t.Helper()
	need, ok := account.ParsePermission(r.Permission)
	if !ok && r.Permission != "self" {
		p.t.Fatalf("%s %s: no permission %q", r.method, r.path, r.Permission)
	}
	has := r.Permission == "self" || role.Permissions().Has(need)
	for i, c := range []struct {
		who, key string
		want     bool
	}{{"project", p.keys[role], has && r.Scope == ""}, {"hub", p.hub[role], has}} {
		path := p.fresh(r.path, 2*n+i)
		status, code := p.ask(r, path, c.key)
		if allowed := status != 401 && (status != 403 || code != "forbidden"); allowed != c.want || status == 500 || status == 429 {
			p.t.Errorf("%s %s as %s of the %s: %d %s, allowed should be %v", r.method, path, role, c.who, status, code, c.want)
		}
	}
}
