package api_test

import (
	"bufio"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// rate is a number with one decimal at most.
var rate = regexp.MustCompile(`^[0-9]+(\.[0-9])?$`)

// ended waits for the end of a job.
func (h *testHub) ended(id string) answer {
	h.t.Helper()
	var a answer
	eventually(h.t, "job ends", func() bool {
		a = h.must("GET", "/v1/jobs/"+id, "")
		return a.get("finishedAt") != ""
	})
	return a
}

func TestImportAndBulk(t *testing.T) {
	h := start(t)
	p := h.product(`{"name":"meter"}`)
	file := "\xEF\xBB\xBFdeviceSN,name\r\nmeter-1,\"One, the first\"\r\na/b,bad\r\nmeter-1,again\r\n,generated\r\n"
	csv := []string{"Content-Type", "text/csv"}
	dry := h.do("POST", p+"/devices:import?dryRun=true", file, csv...)
	if dry.status != http.StatusAccepted || dry.get("kind") != "device-import" || dry.get("dryRun") != "true" || !strings.HasPrefix(dry.get("owner"), "key:") {
		t.Fatalf("dry run: %d %s", dry.status, dry.body)
	}
	if a := h.ended(dry.get("id")); a.get("succeeded") != "2" || a.get("failed") != "2" || a.get("errors", "duplicate_in_file") != "1" {
		t.Errorf("dry run: %s", a.body)
	}
	if a := h.must("GET", p+"/devices", ""); a.get("items") != "[]" {
		t.Errorf("a dry run made devices: %s", a.body)
	}
	one := h.must("POST", p+"/devices:import", file, csv...)
	if a := h.ended(one.get("id")); a.get("state") != "done" || a.get("total") != "4" {
		t.Errorf("import: %s", a.body)
	}
	result := h.must("GET", "/v1/jobs/"+one.get("id")+"/result", "")
	lines := strings.Split(string(result.body), "\n")
	secret := h.must("GET", p+"/devices/meter-1", "").get("deviceSecret")
	if result.header.Get("Content-Type") != "text/csv" || lines[0] != "result,line,deviceSN,deviceSecret,reason" ||
		lines[1] != "ok,2,meter-1,"+secret+"," || !strings.HasPrefix(lines[2], "invalid_deviceSN,3,a/b,,") {
		t.Errorf("result: %q", lines)
	}
	// Who may not see secrets gets the result without them.
	owner := h.key
	h.key = h.must("POST", "/v1/api-keys", `{"name":"fitter","role":"engineer"}`).get("key")
	if got := string(h.must("GET", "/v1/jobs/"+one.get("id")+"/result", "").body); strings.Contains(got, secret) || !strings.HasPrefix(got, "result,line,deviceSN,reason\n") {
		t.Errorf("result without secrets: %q", got)
	}
	h.key = owner

	one = h.must("POST", p+"/devices:bulk", `{"action":"disable","state":"inactive"}`)
	if a := h.ended(one.get("id")); a.get("succeeded") != "2" || a.get("spec", "action") != "disable" || !rate.MatchString(a.get("ratePerSecond")) {
		t.Errorf("bulk: %s", a.body)
	}
	if a := h.must("GET", p+"/devices?state=disabled", ""); a.get("items", "1", "state") != "disabled" {
		t.Errorf("after the bulk action: %s", a.body)
	}
	all := h.must("GET", "/v1/jobs?state=done&limit=2", "")
	if all.get("items", "0", "id") != one.get("id") || all.get("nextCursor") == "" {
		t.Errorf("list: %s", all.body)
	}
	if a := h.must("GET", "/v1/jobs?kind=device-import&cursor="+all.get("nextCursor"), ""); a.get("items", "0", "id") != dry.get("id") || a.get("nextCursor") != "" {
		t.Errorf("second page: %s", a.body)
	}
}

// Who belongs to the hub and names no project sees the jobs of all, and which project each is of; everybody else those of one.
func TestJobsOfAllProjects(t *testing.T) {
	h := start(t)
	h.must("POST", "/v1/projects", `{"id":"farm"}`)
	mine := h.must("POST", "/v1/devices:bulk", `{"action":"disable"}`).get("id")
	theirs := h.must("POST", "/v1/devices:bulk", `{"action":"disable"}`, "X-Hawser-Project", "farm").get("id")
	list := h.must("GET", "/v1/jobs", "")
	if list.get("items", "0", "id") != theirs || list.get("items", "0", "project") != "farm" || list.get("items", "1", "id") != mine || list.get("items", "1", "project") != "default" {
		t.Errorf("all jobs: %s", list.body)
	}
	if a := h.ended(theirs); a.get("state") != "done" {
		t.Errorf("another project's job: %s", a.body)
	}
	one := h.must("GET", "/v1/jobs", "", "X-Hawser-Project", "default")
	if one.get("items", "0", "id") != mine || one.get("items", "1", "id") != "" {
		t.Errorf("jobs of a project: %s", one.body)
	}
	h.key = h.must("POST", "/v1/api-keys", `{"name":"clerk","role":"owner","project":"default"}`).get("key")
	if a := h.must("GET", "/v1/jobs", ""); a.get("items", "0", "id") != mine || a.get("items", "1", "id") != "" {
		t.Errorf("jobs of a key's project: %s", a.body)
	}
	h.want("another project's job", h.do("GET", "/v1/jobs/"+theirs, ""), 404, "job_not_found")
}

func TestJobRefusals(t *testing.T) {
	h := start(t)
	p := h.product(`{"name":"meter"}`)
	done := h.must("POST", p+"/devices:bulk", `{"action":"disable"}`).get("id")
	h.ended(done)
	for _, tt := range []struct {
		name, method, path, body string
		status                   int
		code, field              string
	}{
		{"unknown column", "POST", p + "/devices:import", "deviceSN,colour\n", 400, "invalid_file", "body"},
		{"empty file", "POST", p + "/devices:import", "", 400, "invalid_file", "body"},
		{"product", "POST", "/v1/products/0123456789abcdef/devices:import", "deviceSN\n", 404, "product_not_found", ""},
		{"action", "POST", p + "/devices:bulk", `{"action":"paint"}`, 400, "invalid", "action"},
		{"state", "POST", p + "/devices:bulk", `{"action":"enable","state":"happy"}`, 400, "invalid", "state"},
		{"job", "GET", "/v1/jobs/nothing", "", 404, "job_not_found", ""},
		{"result of no job", "GET", "/v1/jobs/nothing/result", "", 404, "job_not_found", ""},
		{"events of no job", "GET", "/v1/jobs/nothing/events", "", 404, "job_not_found", ""},
		{"state of jobs", "GET", "/v1/jobs?state=uploading", "", 400, "invalid", "state"},
		{"ended already", "POST", "/v1/jobs/" + done + "/cancel", "", 409, "job_finished", ""},
	} {
		contentType := "application/json"
		if strings.HasSuffix(tt.path, ":import") {
			contentType = "text/csv"
		}
		if a := h.do(tt.method, tt.path, tt.body, "Content-Type", contentType); a.status != tt.status || a.get("code") != tt.code || a.get("field") != tt.field {
			t.Errorf("%s: got %d %s (%s), want %d %s (%s)\n%s", tt.name, a.status, a.get("code"), a.get("field"), tt.status, tt.code, tt.field, a.body)
		}
	}
}

func TestJobEvents(t *testing.T) {
	h := start(t)
	p := h.product(`{"name":"meter"}`)
	id := h.must("POST", p+"/devices:import", "deviceSN\n"+strings.Repeat("x\n", 3000), "Content-Type", "text/csv").get("id")
	req, err := http.NewRequestWithContext(t.Context(), "GET", h.url+"/v1/jobs/"+id+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+h.key)
	resp, err := h.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var last answer
	sc := bufio.NewScanner(resp.Body)
	for sc.Scan() { // to the end of the stream, which ends with the job
		if data, ok := strings.CutPrefix(sc.Text(), "data: "); ok {
			last = answer{body: []byte(data)}
		}
	}
	if sc.Err() != nil || last.get("state") != "done" || last.get("failed") != "3000" {
		t.Errorf("last event: %s (%v)", last.body, sc.Err())
	}
}
