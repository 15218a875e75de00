package api_test

import (
	"net/http"
	"net/url"
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
	for _, path := range []string{"/v1/connectors", "/v1/alarms", "/v1/alarm-rules", "/v1/alarm-channels", product + "/campaigns", product + "/firmwares", product + "/releases"} {
		if a := h.must("GET", q(path, "created>-1d OR x", "-created", "&count=true"), ""); a.get("total") != "0" {
			t.Errorf("%s: %s", path, a.body)
		}
	}
}
