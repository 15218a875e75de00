package api_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/hawser-iot/hawser/cloud/account/oidc/oidctest"
)

// member makes a user with a password who is a member of a project, which "hub" may be, and returns their id.
func (h *testHub) member(login, project, role string) string {
	h.t.Helper()
	id := h.must("POST", "/v1/users", fmt.Sprintf(`{"login":%q,"password":"secret of %s"}`, login, login)).get("id")
	h.must("POST", "/v1/projects/"+project+"/members", fmt.Sprintf(`{"user":%q,"role":%q}`, id, role))
	return id
}

// as is h with the session of a user of member.
func (h *testHub) as(login string) *testHub {
	h.t.Helper()
	u := *h
	u.key = h.must("POST", "/v1/login", fmt.Sprintf(`{"login":%q,"password":"secret of %s"}`, login, login), "Authorization", "").get("token")
	return &u
}

func (h *testHub) want(what string, a answer, status int, code string) {
	h.t.Helper()
	if a.status != status || a.get("code") != code {
		h.t.Errorf("%s: %d %s, want %d %s\n%s", what, a.status, a.get("code"), status, code, a.body)
	}
}

func TestLoginAndSecondFactor(t *testing.T) {
	h := start(t)
	h.member("ann", "default", "engineer")
	h.want("wrong password", h.do("POST", "/v1/login", `{"login":"ann","password":"x"}`), 401, "wrong_login")
	h.want("unknown user", h.do("POST", "/v1/login", `{"login":"bob","password":"x"}`), 401, "wrong_login")
	ann := h.as("ann")
	if !strings.HasPrefix(ann.key, "hws_") {
		t.Fatalf("token %q", ann.key)
	}
	me := ann.must("GET", "/v1/me", "")
	if me.get("kind") != "user" || me.get("name") != "ann" || me.get("project") != "default" || me.get("hub") != "[]" || !strings.Contains(me.get("projects"), `"device.control"`) {
		t.Errorf("me is %s", me.body)
	}
	e := ann.must("POST", "/v1/me/totp", `{"password":"secret of ann"}`)
	code, err := totp.GenerateCode(e.get("secret"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	codes := ann.must("POST", "/v1/me/totp/confirm", fmt.Sprintf(`{"code":%q}`, code))
	login := func(more string) answer {
		return h.do("POST", "/v1/login", `{"login":"ann","password":"secret of ann"`+more+`}`)
	}
	h.want("without a code", login(""), 401, "totp_required")
	h.want("the code again", login(fmt.Sprintf(`,"code":%q`, code)), 401, "wrong_code")
	recovery := fmt.Sprintf(`,"recoveryCode":%q`, codes.get("recoveryCodes", "0"))
	if a := login(recovery); a.status != 200 {
		t.Errorf("recovery code: %d %s", a.status, a.body)
	}
	h.want("a recovery code again", login(recovery), 401, "wrong_code")
	fresh := ann.must("POST", "/v1/me/totp/recovery-codes", fmt.Sprintf(`{"password":"secret of ann","recoveryCode":%q}`, codes.get("recoveryCodes", "1")))
	h.want("one of the codes before", login(fmt.Sprintf(`,"recoveryCode":%q`, codes.get("recoveryCodes", "2"))), 401, "wrong_code")
	if a := login(fmt.Sprintf(`,"recoveryCode":%q`, fresh.get("recoveryCodes", "2"))); a.status != 200 {
		t.Errorf("new recovery code: %d %s", a.status, a.body)
	}
	if me := ann.must("GET", "/v1/me", ""); me.get("totp") != "true" {
		t.Errorf("me is %s", me.body)
	}
	h.want("a key's second factor", h.do("POST", "/v1/me/totp", `{}`), 403, "not_a_user")

	sessions := ann.must("GET", "/v1/me/sessions", "")
	if got := strings.Count(string(sessions.body), `"current":true`); got != 1 {
		t.Errorf("sessions %s", sessions.body)
	}
	ann.must("POST", "/v1/logout", "")
	ann.want("after the logout", ann.do("GET", "/v1/me", ""), 401, "unauthorized")
}

// Guessing ends in 429 for who guesses, with the time to wait.
func TestGuessing(t *testing.T) {
	h := start(t)
	h.member("ann", "default", "viewer")
	var last answer
	for range 7 {
		last = h.do("POST", "/v1/login", `{"login":"ann","password":"guess"}`)
	}
	h.want("the seventh guess", last, 429, "throttled")
	if last.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

// A browser's session is a cookie, which only the hub's own pages can change something with.
func TestCookies(t *testing.T) {
	h := start(t)
	h.member("ann", "default", "operator")
	body := `{"login":"ann","password":"secret of ann","cookie":true}`
	h.want("a login from another page", h.do("POST", "/v1/login", body), 403, "cross_origin")
	h.want("… of another origin", h.do("POST", "/v1/login", body, "X-Hawser-Request", "1", "Origin", "https://evil.example"), 403, "cross_origin")
	a := h.must("POST", "/v1/login", body, "X-Hawser-Request", "1", "Origin", h.url, "Cookie", "__Host-hawser_session=hws_fixed")
	cookie := a.header.Get("Set-Cookie")
	for _, part := range []string{"__Host-hawser_session=hws_", "Path=/", "Secure", "HttpOnly", "SameSite=Strict", "Max-Age="} {
		if !strings.Contains(cookie, part) {
			t.Errorf("Set-Cookie %q has no %s", cookie, part)
		}
	}
	if strings.Contains(cookie, "hws_fixed") || a.get("token") != "" {
		t.Errorf("the session is fixed, or shown: %s %s", cookie, a.body)
	}
	cookie, _, _ = strings.Cut(cookie, ";")
	with := func(method, path, body string, head ...string) answer {
		return h.do(method, path, body, append([]string{"Authorization", "", "Cookie", cookie}, head...)...)
	}
	if a := with("GET", "/v1/products", ""); a.status != 200 {
		t.Errorf("reading with a cookie: %d %s", a.status, a.body)
	}
	h.want("a change without the header", with("POST", "/v1/products", `{"name":"x"}`), 403, "cross_origin")
	h.want("a change from elsewhere", with("POST", "/v1/products", `{"name":"x"}`, "X-Hawser-Request", "1", "Sec-Fetch-Site", "cross-site"), 403, "cross_origin")
	h.want("a change from another origin", with("POST", "/v1/products", `{"name":"x"}`, "X-Hawser-Request", "1", "Origin", "null"), 403, "cross_origin")
	if a := with("POST", "/v1/products", `{"name":"x"}`, "X-Hawser-Request", "1", "Origin", h.url, "Sec-Fetch-Site", "same-origin"); a.status != 201 {
		t.Errorf("a change with a cookie: %d %s", a.status, a.body)
	}
	// A page sees a secret only by what the audit log tells of.
	p := with("GET", "/v1/products", "").get("items", "0", "productSN")
	d := "/v1/products/" + p + "/devices/lamp-1"
	h.must("POST", "/v1/products/"+p+"/devices", `{"deviceSN":"lamp-1"}`)
	secret := h.must("GET", d, "").get("deviceSecret")
	for _, path := range []string{d, "/v1/products/" + p, "/v1/products", "/v1/products/" + p + "/devices"} {
		if a := with("GET", path, ""); a.status != 200 || bytes.Contains(a.body, []byte("Secret")) {
			t.Errorf("%s of a page: %d %s", path, a.status, a.body)
		}
	}
	if a := with("POST", d+"/reveal", "", "X-Hawser-Request", "1"); secret == "" || a.get("deviceSecret") != secret {
		t.Errorf("a secret is not revealed: %d %s", a.status, a.body)
	}
	if a := with("POST", "/v1/products/"+p+"/reveal", "", "X-Hawser-Request", "1"); a.get("productSecret") == "" {
		t.Errorf("a product's secret is not revealed: %d %s", a.status, a.body)
	}
	if a := h.must("GET", "/v1/audit?limit=2", "", "X-Hawser-Project", "default"); a.get("items", "0", "operation") != "revealProduct" || a.get("items", "1", "object") != d+"/reveal" {
		t.Errorf("the log does not tell of revealed secrets: %s", a.body)
	}
	h.want("an API key as a cookie", h.do("GET", "/v1/info", "", "Authorization", "", "Cookie", "__Host-hawser_session="+h.key), 401, "unauthorized")
	if a := with("POST", "/v1/logout", "", "X-Hawser-Request", "1"); a.status != 204 || !strings.Contains(a.header.Get("Set-Cookie"), "Max-Age=0") || a.header.Get("Clear-Site-Data") != `"cache"` {
		t.Errorf("logout: %d %s", a.status, a.header.Get("Set-Cookie"))
	}
	h.want("after the logout", with("GET", "/v1/me", ""), 401, "unauthorized")
}

// What a browser must know of an answer, whichever it is: it is no page, nobody's frame, and other origins get nothing.
func TestAnswersAreFenced(t *testing.T) {
	h := start(t)
	h.product(`{"name":"x"}`)
	for _, tt := range []struct {
		method, path, body string
		head               []string
		status             int
		cache              string
	}{
		{"GET", "/v1/products", "", nil, 200, "private, no-cache"},
		{"GET", "/v1/products/none", "", nil, 404, "no-store"},
		{"GET", "/v1/products", "", []string{"Authorization", ""}, 401, "no-store"},
		{"GET", "/v1/nothing", "", nil, 404, "no-store"},
		{"POST", "/v1/products", `{"name":"y"}`, []string{"Origin", "https://evil.example"}, 201, "no-store"},
		{"POST", "/v1/login", `{"login":"a","password":"b"}`, nil, 401, "no-store"},
		{"OPTIONS", "/v1/products", "", []string{"Origin", "https://evil.example", "Access-Control-Request-Method", "POST"}, 405, "no-store"},
		{"GET", "/docs/api", "", nil, 200, "no-cache"},
	} {
		a := h.do(tt.method, tt.path, tt.body, tt.head...)
		if a.status != tt.status || a.header.Get("Cache-Control") != tt.cache {
			t.Errorf("%s %s: %d, Cache-Control %q, want %d, %q", tt.method, tt.path, a.status, a.header.Get("Cache-Control"), tt.status, tt.cache)
		}
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Cross-Origin-Resource-Policy": "same-origin", "Referrer-Policy": "no-referrer"} {
			if got := a.header.Get(name); got != want {
				t.Errorf("%s %s: %s is %q, want %q", tt.method, tt.path, name, got, want)
			}
		}
		if policy := a.header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "frame-ancestors 'none'") {
			t.Errorf("%s %s: policy %q", tt.method, tt.path, policy)
		}
		for name := range a.header {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("%s %s lets another origin in: %s %q", tt.method, tt.path, name, a.header.Get(name))
			}
		}
	}
}

// What names another project in a body or a query is no way into it.
func TestOtherProjectsInBodies(t *testing.T) {
	h := start(t)
	h.must("POST", "/v1/projects", `{"id":"farm"}`)
	p := h.product(`{"name":"mine"}`)
	sn := strings.TrimPrefix(p, "/v1/products/")
	h.member("ann", "farm", "owner")
	h.member("bob", "default", "viewer")
	ann := h.as("ann")
	if ps := ann.must("GET", "/v1/products", ""); ps.get("items") != "[]" {
		t.Errorf("another project's products: %s", ps.body)
	}
	if a := ann.do("POST", "/v1/products", `{"name":"theirs","project":"default"}`); a.status != 400 || a.get("field") != "project" {
		t.Errorf("a product in another project: %d %s", a.status, a.body)
	}
	theirs := ann.must("POST", "/v1/products", `{"name":"theirs"}`).get("productSN")
	for _, tt := range []struct {
		what, method, path, body string
		status                   int
		code                     string
	}{
		{"a key for another project", "POST", "/v1/api-keys", `{"name":"k","project":"default","role":"viewer"}`, 404, "project_not_found"},
		{"a key for the hub", "POST", "/v1/api-keys", `{"name":"k","project":"hub","role":"viewer"}`, 404, "project_not_found"},
		{"a key for another's product", "POST", "/v1/api-keys", `{"name":"k","role":"viewer","products":["` + sn + `"]}`, 400, "invalid"},
		{"a member of another's product", "POST", "/v1/projects/farm/members", `{"user":"bob","products":{"` + sn + `":"viewer"}}`, 400, "invalid"},
		{"a member elsewhere", "POST", "/v1/projects/default/members", `{"user":"ann","role":"viewer"}`, 404, "project_not_found"},
		{"a member of the hub", "POST", "/v1/projects/hub/members", `{"user":"ann","role":"viewer"}`, 404, "project_not_found"},
		{"a product by its path", "GET", p, "", 404, "product_not_found"},
		{"… in the own project", "GET", p + "?project=farm", "", 404, "product_not_found"},
		{"the own product in another project", "GET", "/v1/products/" + theirs + "?project=default", "", 404, "product_not_found"},
		{"another project by the query", "GET", "/v1/products?project=default", "", 404, "project_not_found"},
		{"another project's path with the own in the query", "GET", "/v1/projects/default?project=farm", "", 404, "project_not_found"},
		{"another project's audit log", "GET", "/v1/audit?project=default", "", 404, "project_not_found"},
		{"the hub as a project", "GET", "/v1/products?project=hub", "", 404, "project_not_found"},
		{"users", "GET", "/v1/users", "", 403, "forbidden"},
		{"the own quota", "PATCH", "/v1/projects/farm", `{"quota":{"devices":1000000}}`, 403, "exceeds_own"},
	} {
		ann.want(tt.what, ann.do(tt.method, tt.path, tt.body), tt.status, tt.code)
	}
	if a := h.must("GET", "/v1/products/"+theirs, "", "X-Hawser-Project", "farm"); a.get("name") != "theirs" {
		t.Errorf("their product is %s", a.body)
	}
	h.want("it is not the default project's", h.do("GET", "/v1/products/"+theirs+"?project=default", ""), 404, "product_not_found")
	if a := ann.must("GET", "/v1/audit", ""); strings.Contains(string(a.body), "secret of") || strings.Contains(string(a.body), `"project":"default"`) || a.get("items", "0", "project") == "" {
		t.Errorf("the audit log of farm: %s", a.body)
	}
	// A member who loses the project loses it at once.
	h.must("POST", "/v1/projects/farm/members", `{"user":"bob","role":"owner"}`)
	h.must("DELETE", "/v1/projects/farm/members/ann", "")
	ann.want("after the removal", ann.do("GET", "/v1/products/"+theirs, ""), 404, "product_not_found")
}

func TestLimitedToProducts(t *testing.T) {
	h := start(t)
	a, b := h.product(`{"name":"a"}`), h.product(`{"name":"b"}`)
	h.must("POST", a+"/devices", `{"deviceSN":"d-01"}`)
	id := h.must("POST", "/v1/users", `{"login":"ann","password":"secret of ann"}`).get("id")
	h.must("POST", "/v1/projects/default/members", fmt.Sprintf(`{"user":%q,"products":{%q:"engineer"}}`, id, strings.TrimPrefix(a, "/v1/products/")))
	ann := h.as("ann")
	if list := ann.must("GET", "/v1/products", ""); list.get("items", "0", "name") != "a" || list.get("items", "1") != "" || strings.Contains(string(list.body), "productSecret") {
		t.Errorf("products %s", list.body)
	}
	ann.must("PATCH", a+"/devices/d-01", `{"name":"x"}`)
	ann.want("another product", ann.do("GET", b, ""), 404, "product_not_found")
	ann.want("the product itself", ann.do("PATCH", a, `{"name":"y"}`), 403, "forbidden")
	ann.want("rules", ann.do("GET", "/v1/rules", ""), 403, "forbidden")
	ann.want("a new product", ann.do("POST", "/v1/products", `{"name":"c"}`), 403, "forbidden")
	ann.want("several projects to choose from", ann.do("GET", "/v1/projects/default/members", ""), 403, "forbidden")
}

func TestQuotas(t *testing.T) {
	h := start(t)
	h.must("POST", "/v1/projects", `{"id":"farm","quota":{"products":1,"devices":2,"rules":1,"apiKeys":1,"users":1}}`)
	in := []string{"X-Hawser-Project", "farm"}
	p := "/v1/products/" + h.must("POST", "/v1/products", `{"name":"a"}`, in...).get("productSN")
	h.must("POST", p+"/devices:batch", `{"count":2}`)
	rule := `{"name":"%s","sql":"SELECT * FROM '/+/+/upload'"}`
	h.must("POST", "/v1/rules", fmt.Sprintf(rule, "r1"), in...)
	h.must("POST", "/v1/api-keys", `{"name":"k"}`, in...)
	h.member("ann", "farm", "viewer")
	h.must("POST", "/v1/users", `{"login":"bob"}`)
	for what, a := range map[string]answer{
		"product": h.do("POST", "/v1/products", `{"name":"b"}`, in...), "device": h.do("POST", p+"/devices", `{}`),
		"rule": h.do("POST", "/v1/rules", fmt.Sprintf(rule, "r2"), in...), "key": h.do("POST", "/v1/api-keys", `{"name":"l"}`, in...),
		"user": h.do("POST", "/v1/projects/farm/members", `{"user":"bob","role":"viewer"}`),
	} {
		h.want(what, a, 422, "quota_exceeded")
		if !strings.Contains(a.get("detail"), "project farm may have") {
			t.Errorf("%s: %s", what, a.get("detail"))
		}
	}
	h.must("PATCH", "/v1/projects/farm", `{"quota":{"devices":3}}`)
	h.must("POST", p+"/devices", `{}`)
	h.want("not empty", h.do("DELETE", "/v1/projects/farm", ""), 409, "project_not_empty")
}

// Every change is in the audit log with who, what and what differs, and no secret is there or in the hub's own log.
func TestAuditLog(t *testing.T) {
	h := startWith(t, map[string]string{"log-level": "debug"})
	ann := h.member("ann", "default", "admin")
	session := h.as("ann")
	p := session.product(`{"name":"thermometer"}`)
	product := session.must("GET", p, "")
	session.must("PATCH", p, `{"name":"barometer"}`)
	device := session.must("POST", p+"/devices", `{"deviceSN":"d-01"}`)
	session.must("POST", p+"/devices/d-01/disable", "")
	key := session.must("POST", "/v1/api-keys", `{"name":"k","role":"viewer"}`)
	session.must("DELETE", "/v1/api-keys/"+key.get("id"), "")
	session.want("too much", session.do("POST", "/v1/projects", `{"id":"more"}`, "X-Request-Id", "find-me"), 403, "forbidden")
	session.must("DELETE", p+"/devices/d-01", "")
	h.do("POST", "/v1/login", `{"login":"ann","password":"not the secret"}`)
	enrolled := session.must("POST", "/v1/me/totp", `{"password":"secret of ann"}`)

	log := h.must("GET", "/v1/audit?limit=100", "")
	var got []string
	var entries struct {
		Items []struct {
			Operation, Object, Actor, ActorName, Code, RequestID, Address string
			Result                                                        int
			Diff                                                          json.RawMessage
		}
	}
	if err := json.Unmarshal(log.body, &entries); err != nil {
		t.Fatal(err)
	}
	for _, e := range entries.Items {
		got = append([]string{fmt.Sprintf("%s %s %s %d", e.ActorName, e.Operation, e.Object, e.Result)}, got...)
		switch {
		case e.Address == "" || e.RequestID == "":
			t.Errorf("%s has no address or request", e.Operation)
		case e.Operation == "updateProduct" && !strings.Contains(string(e.Diff), `{"after":"barometer","before":"thermometer","path":"/name"}`):
			t.Errorf("updateProduct: %s", e.Diff)
		case e.Operation == "disableDevice" && !strings.Contains(string(e.Diff), `{"after":"disabled","before":"inactive","path":"/state"}`):
			t.Errorf("disableDevice: %s", e.Diff)
		case e.Operation == "deleteAPIKey" && !strings.Contains(string(e.Diff), `"before":{"createdAt"`):
			t.Errorf("deleteAPIKey: %s", e.Diff)
		case e.Code == "forbidden" && (e.RequestID != "find-me" || e.Actor != ann):
			t.Errorf("the refusal: %+v", e)
		}
	}
	sn, id := strings.TrimPrefix(p, "/v1/products/"), key.get("id")
	want := []string{"bootstrap createUser /v1/users/" + ann + " 201", "bootstrap addMember /v1/projects/default/members/" + ann + " 201", "ann login /v1/login 200",
		"ann createProduct /v1/products/" + sn + " 201", "ann updateProduct " + p + " 200", "ann createDevice " + p + "/devices/d-01 201",
		"ann disableDevice " + p + "/devices/d-01/disable 200", "ann createAPIKey /v1/api-keys/" + id + " 201", "ann deleteAPIKey /v1/api-keys/" + id + " 204",
		"ann createProject /v1/projects 403", "ann deleteDevice " + p + "/devices/d-01 204", "ann login /v1/login 401", "ann enrolTOTP /v1/me/totp 200"}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for what, secret := range map[string]string{"password": "secret of ann", "wrong password": "not the secret", "session": session.key, "owner's key": h.key, "key": key.get("key"),
		"product secret": product.get("productSecret"), "device secret": device.get("deviceSecret"), "second factor": enrolled.get("secret")} {
		if secret == "" || strings.Contains(string(log.body), secret) || strings.Contains(h.log.all(), secret) {
			t.Errorf("the %s is in a log, or was not made", what)
		}
	}
	if a := h.must("GET", "/v1/audit?operation=updateProduct&actor="+ann+"&failed=false&object="+url.QueryEscape(p), ""); a.get("items", "0", "operation") != "updateProduct" || a.get("items", "1") != "" {
		t.Errorf("filtered: %s", a.body)
	}
	page := h.must("GET", "/v1/audit?limit=3", "")
	next := h.must("GET", "/v1/audit?limit=3&cursor="+page.get("nextCursor"), "")
	if next.get("items", "0", "operation") != "createProject" {
		t.Errorf("the second page: %s", next.body)
	}
	h.want("after nonsense", h.do("GET", "/v1/audit?after=x", ""), 400, "invalid")
}

func TestOIDC(t *testing.T) {
	idp := oidctest.New(t)
	h := startWith(t, map[string]string{"oidc-issuer": idp.Issuer, "oidc-client-id": oidctest.Client, "oidc-client-secret": oidctest.Secret, "oidc-role": "engineer"})
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Transport: h.client.Transport, Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	follow := func(address, cookie string) *http.Response {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		if cookie != "" {
			req.Header.Set("Cookie", cookie)
		}
		resp, err := browser.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp
	}
	idp.Login(map[string]any{"sub": "42", "email": "ann@example.com", "email_verified": true, "name": "Ann"})

	// A browser: the cookie of the beginning, over the provider, to a session.
	begin := func(body string) answer { return h.do("POST", "/v1/login/oidc", body, "Authorization", "") }
	for _, bad := range []string{`{}`, `{"returnTo":"https://evil.example"}`, `{"returnTo":"//evil.example"}`, `{"returnTo":"/\\evil.example"}`, `{"loopback":"http://evil.example:1/"}`,
		`{"loopback":"http://127.0.0.1:1/","challenge":"short"}`} {
		h.want(bad, begin(bad), 400, "invalid")
	}
	a := begin(`{"returnTo":"/console"}`)
	cookie, _, _ := strings.Cut(a.header.Get("Set-Cookie"), ";")
	back := follow(a.get("url"), "").Header.Get("Location")
	if resp := follow(back, ""); resp.StatusCode != 400 {
		t.Errorf("another browser finishes the login: %d", resp.StatusCode)
	}
	if resp := follow(back, cookie); resp.StatusCode != 400 {
		t.Errorf("a state is good twice: %d", resp.StatusCode)
	}
	a = begin(`{"returnTo":"/console"}`)
	cookie, _, _ = strings.Cut(a.header.Get("Set-Cookie"), ";")
	resp := follow(follow(a.get("url"), "").Header.Get("Location"), cookie)
	var session string
	for _, c := range resp.Cookies() {
		if c.Name == "__Host-hawser_session" {
			session = c.Value
		}
	}
	if resp.StatusCode != 302 || resp.Header.Get("Location") != "/console" || !strings.HasPrefix(session, "hws_") {
		t.Fatalf("finished with %d to %s", resp.StatusCode, resp.Header.Get("Location"))
	}
	ann := *h
	ann.key = session
	me := ann.must("GET", "/v1/me", "")
	if me.get("name") != "ann@example.com" || !strings.Contains(me.get("projects"), "device.control") || strings.Contains(me.get("projects"), "rule.write") {
		t.Errorf("me is %s", me.body)
	}

	// A program: a code on its loopback address, which only it can exchange.
	sum := sha256.Sum256([]byte("verifier of the program"))
	a = begin(fmt.Sprintf(`{"loopback":"http://127.0.0.1:9/done?x=1","challenge":%q}`, base64.RawURLEncoding.EncodeToString(sum[:])))
	to, err := follow(follow(a.get("url"), "").Header.Get("Location"), "").Location()
	if err != nil || to.Host != "127.0.0.1:9" || to.Path != "/done" || to.Query().Get("x") != "1" {
		t.Fatalf("sent to %v, %v", to, err)
	}
	code := to.Query().Get("code")
	exchange := func(verifier string) answer {
		return h.do("POST", "/v1/login/oidc/exchange", fmt.Sprintf(`{"code":%q,"verifier":%q}`, code, verifier))
	}
	ann.key = exchange("verifier of the program").get("token")
	if again := ann.must("GET", "/v1/me", ""); again.get("id") != me.get("id") {
		t.Errorf("another user: %s", again.body)
	}
	h.want("a code twice", exchange("verifier of the program"), 400, "login_over")

	idp.Forge(true)
	a = begin(`{"returnTo":"/"}`)
	cookie, _, _ = strings.Cut(a.header.Get("Set-Cookie"), ";")
	if resp := follow(follow(a.get("url"), "").Header.Get("Location"), cookie); resp.StatusCode != 403 || len(resp.Cookies()) != 0 {
		t.Errorf("a forged token: %d", resp.StatusCode)
	}
	idp.Login(nil)
	a = begin(`{"returnTo":"/"}`)
	cookie, _, _ = strings.Cut(a.header.Get("Set-Cookie"), ";")
	if resp := follow(follow(a.get("url"), "").Header.Get("Location"), cookie); resp.StatusCode != 403 {
		t.Errorf("nobody is let in: %d", resp.StatusCode)
	}
	off := start(t)
	off.want("without a provider", off.do("POST", "/v1/login/oidc", `{"returnTo":"/"}`), 404, "oidc_off")
}

// A stream of events ends as soon as its reader may read no longer.
func TestStreamEndsWithTheRightToIt(t *testing.T) {
	h := start(t)
	key := h.must("POST", "/v1/api-keys", `{"name":"k","role":"viewer"}`)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.url+"/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key.get("key"))
	resp, err := h.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		buf := make([]byte, 100)
		for {
			if _, err := resp.Body.Read(buf); err != nil {
				return
			}
		}
	}()
	h.must("DELETE", "/v1/api-keys/"+key.get("id"), "")
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Error("the stream goes on")
	}
}
