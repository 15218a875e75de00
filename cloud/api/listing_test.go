package api_test

import (
	"net/http"
	"net/url"
	"slices"
	"testing"
)

// Lists are filtered, sorted, counted and cut into pages by the hub, and say what is wrong with what was asked.
func TestLists(t *testing.T) {
	h := start(t)
	product := h.product(`{"name":"pump"}`)
	for _, name := range []string{"hot", "Cold", "wet"} {
		h.must("POST", "/v1/rules", `{"name":"`+name+`","sql":"SELECT * FROM '/+/+/upload'","enabled":`+map[bool]string{true: "true", false: "false"}[name == "hot"]+`,"actions":[{"kind":"http","url":"https://example.com"}]}`)
	}
	q := func(path, filter, sort, more string) string {
		return path + "?filter=" + url.QueryEscape(filter) + "&sort=" + sort + more
	}
	first := h.must("GET", q("/v1/rules", "", "name", "&limit=2&count=true"), "")
	if first.get("items", "0", "name") != "Cold" || first.get("total") != "3" || first.get("counts", "enabled") != "1" || first.get("counts", "disabled") != "2" {
		t.Errorf("first page: %s", first.body)
	}
	second := h.must("GET", q("/v1/rules", "", "name", "&limit=2&cursor="+first.get("nextCursor")), "")
	if second.get("items", "0", "name") != "wet" || second.get("nextCursor") != "" || second.get("total") != "" {
		t.Errorf("second page: %s", second.body)
	}
	for _, tt := range []struct {
		path, field string
	}{
		{q("/v1/rules", "state:online", "", ""), "filter"},
		{q("/v1/rules", "", "sql", ""), "sort"},
		{q("/v1/rules", "", "-name", "&cursor="+first.get("nextCursor")), "cursor"},
		{q("/v1/rules", "", "", "&limit=0"), "limit"},
		{q("/v1/alarms", "", "name", ""), "sort"},
		{q("/v1/connectors", "tag.x:y", "", ""), "filter"},
		{q(product+"/campaigns", "status:over", "", ""), "filter"},
		{q(product+"/firmwares", "", "status", ""), "sort"},
		{q(product+"/releases", "(", "", ""), "filter"},
	} {
		if a := h.do("GET", tt.path, ""); a.status != http.StatusBadRequest && a.status != http.StatusUnprocessableEntity || a.get("field") != tt.field {
			t.Errorf("%s: %d %s, want a problem of %s", tt.path, a.status, a.body, tt.field)
		}
	}
	for path, filter := range map[string]string{"/v1/products": "kind:gateway", "/v1/groups": "kind:filter", "/v1/api-keys": "state:expired", "/v1/projects/default/members": "role:none",
		"/v1/cas": "status:retired"} {
		for _, limit := range []string{"", "&limit=1"} {
			if a := h.must("GET", q(path, filter, "-created", "&count=true"+limit), ""); a.get("total") != "0" || a.get("items", "0", "id") != "" {
				t.Errorf("%s: %s", path, a.body)
			}
		}
		for field, bad := range map[string]string{"filter": q(path, "tag.x:y", "", ""), "sort": q(path, "", "secret", ""), "limit": q(path, "", "", "&limit=1001"), "cursor": q(path, "", "", "&cursor=zz")} {
			if a := h.do("GET", bad, ""); a.status != http.StatusBadRequest && a.status != http.StatusUnprocessableEntity || a.get("field") != field {
				t.Errorf("%s: %d %s, want a problem of %s", bad, a.status, a.body, field)
			}
		}
	}
	for _, path := range []string{"/v1/connectors", "/v1/alarms", "/v1/alarm-rules", "/v1/alarm-channels", product + "/campaigns", product + "/firmwares", product + "/releases"} {
		if a := h.must("GET", q(path, "created>-1d OR x", "-created", "&count=true"), ""); a.get("total") != "0" {
			t.Errorf("%s: %s", path, a.body)
		}
	}
}

// Who may see some products only finds, and counts, only those; sessions are the caller's own, and the log has two orders.
func TestListsOfSome(t *testing.T) {
	h := start(t)
	for _, name := range []string{"a", "b", "c", "d"} {
		h.product(`{"name":"` + name + `"}`)
	}
	list := h.must("GET", "/v1/products?sort=-name", "")
	if list.get("items", "0", "name") != "d" || list.get("items", "3", "name") != "a" || list.get("total") != "" {
		t.Fatalf("by name: %s", list.body)
	}
	some := *h
	some.key = h.must("POST", "/v1/api-keys", `{"name":"some","project":"default","productRoles":{"`+list.get("items", "3", "productSN")+`":"viewer","`+list.get("items", "1", "productSN")+`":"viewer"}}`).get("key")
	first := some.must("GET", "/v1/products?limit=1&count=true", "")
	second := some.must("GET", "/v1/products?limit=1&cursor="+first.get("nextCursor"), "")
	if first.get("items", "0", "name") != "a" || first.get("total") != "2" || second.get("items", "0", "name") != "c" || second.get("nextCursor") != "" {
		t.Errorf("two of four:\n%s\n%s", first.body, second.body)
	}

	h.member("ann", "default", "viewer")
	ann := h.as("ann")
	h.as("ann")
	for _, path := range []string{"/v1/me/sessions", "/v1/users/ann/sessions"} {
		who := ann
		if path != "/v1/me/sessions" {
			who = h
		}
		a := who.must("GET", path+"?filter=method:password&sort=-created&count=true&limit=1", "")
		if a.get("total") != "2" || a.get("counts", "password") != "2" || a.get("items", "0", "id") == "" || a.get("items", "1", "id") != "" || a.get("nextCursor") == "" {
			t.Errorf("%s: %s", path, a.body)
		}
	}

	var got []string
	for cursor := ""; ; {
		a := h.must("GET", "/v1/audit?sort=created&actor=bootstrap&operation=create*&limit=2"+cursor, "")
		for _, i := range []string{"0", "1"} {
			if op := a.get("items", i, "operation"); op != "" {
				got = append(got, op)
			}
		}
		if a.get("nextCursor") == "" || len(got) > 10 {
			break
		}
		cursor = "&cursor=" + a.get("nextCursor")
	}
	want := []string{"createProduct", "createProduct", "createProduct", "createProduct", "createAPIKey", "createUser"}
	if !slices.Equal(got, want) {
		t.Errorf("the log from the oldest on: %v, want %v", got, want)
	}
	if a := h.do("GET", "/v1/audit?sort=actor", ""); a.status != http.StatusBadRequest || a.get("field") != "sort" {
		t.Errorf("an order that the log does not have: %d %s", a.status, a.body)
	}
}
