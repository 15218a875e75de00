package api

import (
	"bytes"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// recorder is a mux that only remembers what is registered.
type recorder struct {
	http.ServeMux
	patterns []string
}

func (r *recorder) HandleFunc(pattern string, _ func(http.ResponseWriter, *http.Request)) {
	r.patterns = append(r.patterns, pattern)
}

func TestEveryRouteIsInTheDocumentAndServed(t *testing.T) {
	var doc struct {
		Paths map[string]map[string]yaml.Node
	}
	if err := yaml.Unmarshal(document, &doc); err != nil {
		t.Fatal(err)
	}
	var want []string
	for path, methods := range doc.Paths {
		for method := range methods {
			if method != "parameters" {
				want = append(want, strings.ToUpper(method)+" "+path)
			}
		}
	}
	var served recorder
	(&server{log: slog.New(slog.DiscardHandler)}).routes(&served)
	slices.Sort(want)
	slices.Sort(served.patterns)
	if !slices.Equal(served.patterns, want) {
		t.Errorf("served and documented routes differ; run make generate\nserved\n\t%s\ndocumented\n\t%s",
			strings.Join(served.patterns, "\n\t"), strings.Join(want, "\n\t"))
	}
	if len(want) < 30 {
		t.Errorf("%d routes are documented, that cannot be all", len(want))
	}
}

// Codes are for programs: one that is gone or renamed breaks them.
func TestProblemCodesAreStable(t *testing.T) {
	var got []string
	for _, p := range problems {
		got = append(got, p.code)
		if p.status < 400 {
			t.Errorf("%s has status %d", p.code, p.status)
		}
	}
	slices.Sort(got)
	want := []string{"api_key_not_found", "busy", "ca_exists", "ca_not_found", "certificate_not_found", "device_exists",
		"device_not_found", "device_offline", "device_queue_full", "device_timeout", "exceeds_own", "exists", "group_by_filter",
		"group_exists", "group_not_found", "idempotency_key_reused", "job_finished", "job_not_finished", "job_not_found", "last_owner",
		"last_owner_key", "limit_exceeded", "login_over", "member_not_found", "no_thing_model", "not_a_user", "not_subscribed",
		"product_has_devices", "product_not_found", "product_published", "project_not_empty", "project_not_found", "quota_exceeded",
		"request_in_hand", "revision_mismatch", "rule_exists", "rule_not_found", "session_not_found", "shadow_disabled", "throttled",
		"timeout", "too_large", "too_large_for_device", "too_many_idempotency_keys", "too_many_jobs", "totp_off", "totp_on",
		"totp_required", "unauthorized", "unavailable", "unknown_user", "user_not_found", "wrong_code", "wrong_login"}
	if got = slices.Compact(got); !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestDocumentIsComplete(t *testing.T) {
	for _, part := range []string{"operationId:", "application/problem+json", "bearer"} {
		if !bytes.Contains(document, []byte(part)) {
			t.Errorf("the document has no %s", part)
		}
	}
}
