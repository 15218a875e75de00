package api_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
)

func TestDocsPage(t *testing.T) {
	h := start(t)
	a := h.must("GET", "/docs/api", "", "Authorization", "")
	page := string(a.body)
	if a.header.Get("Content-Type") != "text/html; charset=utf-8" || !strings.Contains(a.header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("headers: %v", a.header)
	}
	doc := string(h.must("GET", "/openapi.yaml", "", "Authorization", "").body)
	ids := regexp.MustCompile(`operationId: (\w+)`).FindAllStringSubmatch(doc, -1)
	for _, id := range ids {
		if strings.Count(page, `<article id="`+id[1]+`">`) != 1 || !strings.Contains(page, `href="#`+id[1]+`"`) {
			t.Errorf("%s is not on the page, or not in its list", id[1])
		}
	}
	if n := strings.Count(page, "<h4>curl</h4>"); n != len(ids) || n < 40 {
		t.Errorf("%d examples for %d operations", n, len(ids))
	}
	// It must work on a machine that reaches nothing else.
	if loaded := regexp.MustCompile(`(?:src|href)="(https?:)?//[^"]*"`).FindString(page); loaded != "" {
		t.Errorf("the page loads %s", loaded)
	}
	if strings.Contains(page, "ZgotmplZ") {
		t.Error("a value was refused by the template")
	}
	for _, m := range regexp.MustCompile(`(?s) -d &#39;(.*?)&#39;</code>`).FindAllStringSubmatch(page, -1) {
		body := strings.NewReplacer("&#34;", `"`, "&#39;\\&#39;&#39;", "'", "&gt;", ">", "&lt;", "<", "&amp;", "&").Replace(m[1])
		if !json.Valid([]byte(body)) {
			t.Errorf("example is no JSON: %s", body)
		}
	}
	if a := h.do("GET", "/docs/api", "", "If-None-Match", a.header.Get("ETag")); a.status != 304 {
		t.Errorf("with its ETag: %d", a.status)
	}
}
