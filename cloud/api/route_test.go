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
	want := []string{"agent_config_not_found", "alarm_channel_in_use", "alarm_channel_not_found", "alarm_cleared", "alarm_not_found", "alarm_rule_not_found", "api_key_not_found", "approval_needed", "busy", "ca_exists", "ca_in_use", "ca_issues", "ca_not_found", "ca_rotated", "campaign_not_found", "certificate_not_found",
		"command_not_found", "command_not_queued", "command_queue_full", "connector_exists", "connector_in_use", "connector_not_found", "content_not_found", "dead_letter_not_found", "device_exists", "device_not_found", "device_offline",
		"device_queue_full", "device_timeout", "diagnosis_not_found", "diagnosis_open", "director_last", "director_not_found", "director_rotating", "exceeds_own", "exists", "file_not_found", "firmware_exists", "firmware_in_use", "firmware_not_found",
		"gateway_not_found", "group_by_filter", "group_exists", "group_not_found", "idempotency_key_reused", "invalid", "job_finished", "job_not_finished",
		"job_not_found", "last_owner", "last_owner_key", "limit_exceeded", "login_over", "member_not_found", "no_agent", "no_bundle", "no_history", "no_root", "no_thing_model",
		"not_a_gateway", "not_a_subdevice", "not_a_user", "not_in_campaign", "not_subscribed", "own_approval", "plain_http", "product_has_devices", "product_not_found", "product_published",
		"project_not_empty", "project_not_found", "quota_exceeded", "release_not_ready", "request_in_hand", "revision_mismatch", "rule_exists", "rule_not_found",
		"script_not_found", "script_paused", "session_not_found", "shadow_disabled", "task_ended", "task_not_found", "throttled", "timeout", "too_large",
		"too_large_for_device", "too_many_idempotency_keys", "too_many_jobs", "topology_request_not_found", "totp_off", "totp_on", "totp_required",
		"unauthorized", "unavailable", "unknown_user", "user_not_found", "version_not_found", "wrong_code", "wrong_login"}
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
