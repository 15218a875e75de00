package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"runtime"
	"strconv"
	"strings"
)

// errDryRun ends a command whose request was printed instead of sent.
var errDryRun = errors.New("dry run")

// userAgent is what a session that was begun here is known by in the list of sessions.
var userAgent = "hawserctl/" + version + " (" + runtime.GOOS + "/" + runtime.GOARCH + ")"

// changer adds what makes a change conditional or repeatable to the requests that change something, and with --dry-run
// prints them instead.
type changer struct {
	cli  *cli
	next http.RoundTripper
}

// RoundTrip is http.RoundTripper's.
func (t *changer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("User-Agent", userAgent)
	if t.cli.project != "" && !strings.HasPrefix(r.URL.Path, "/v1/projects") { // there the path says it
		r.Header.Set("X-Hawser-Project", t.cli.project)
	}
	if t.cli.anonymous {
		r.Header.Del("Authorization")
	}
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return t.next.RoundTrip(r)
	}
	if t.cli.ifMatch != "" {
		r.Header.Set("If-Match", etag(t.cli.ifMatch))
	}
	if key := t.cli.idempotencyKey; key != "" {
		// A command of several requests names each: the key is the same for the same one of them when it is run again.
		if t.cli.changes++; t.cli.changes > 1 {
			key += "#" + strconv.Itoa(t.cli.changes)
		}
		r.Header.Set("Idempotency-Key", key)
	}
	if t.cli.dryRun && r.Context().Value(hubChecks{}) == nil {
		if err := t.cli.printRequest(r); err != nil {
			return nil, err
		}
		return nil, errDryRun
	}
	return t.next.RoundTrip(r)
}

// holdTo has a change of what was read at a revision not undo what somebody else has changed since. A change that has a name must
// be the same request when it is sent again, so that there it is the caller who says --if-match.
func (c *cli) holdTo(revision int64) {
	if c.ifMatch == "" && c.idempotencyKey == "" && revision > 0 {
		c.ifMatch = strconv.FormatInt(revision, 10)
	}
}

// etag takes a revision for the ETag that it is part of.
func etag(text string) string {
	if text == "*" || strings.HasPrefix(text, `"`) || strings.HasPrefix(text, "W/") {
		return text
	}
	return strconv.Quote(text)
}

// hubChecks marks the context of a request whose dry run is the hub's.
type hubChecks struct{}

func checkedByHub(ctx context.Context) context.Context {
	return context.WithValue(ctx, hubChecks{}, true)
}

// shownHeaders are the headers that a dry run prints; the API key is none of them.
var shownHeaders = []string{"Content-Type", "If-Match", "Idempotency-Key", "X-Hawser-Project"}

// secretMember finds members of a JSON body that are called like a secret, with a text for value.
var secretMember = regexp.MustCompile(`("[\w-]*(?i:password|secret|token|authorization|api-?key|client-?key)[\w-]*"\s*:\s*)"(?:[^"\\]|\\.)*"`)

// withoutSecrets is a body as it may be shown: a dry run ends up in the scrollback of a terminal, or in the log of a job.
func withoutSecrets(body []byte) []byte {
	return secretMember.ReplaceAll(body, []byte(`$1"**redacted**"`))
}

// printRequest prints what would be sent, but for secrets.
func (c *cli) printRequest(r *http.Request) error {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return err
		}
		_ = r.Body.Close() // it was only read
		body = withoutSecrets(body)
	}
	if c.raw() {
		return c.printRequestObject(r, body)
	}
	fmt.Fprintf(c.out, "%s %s\n", r.Method, r.URL)
	for _, name := range shownHeaders {
		if v := r.Header.Get(name); v != "" {
			fmt.Fprintf(c.out, "%s: %s\n", name, v)
		}
	}
	if len(body) == 0 {
		return nil
	}
	var text bytes.Buffer
	if json.Indent(&text, body, "", "  ") != nil {
		text = *bytes.NewBuffer(body)
	}
	_, err := fmt.Fprintf(c.out, "\n%s\n", bytes.TrimSpace(text.Bytes()))
	return err
}

func (c *cli) printRequestObject(r *http.Request, body []byte) error {
	headers := map[string]string{}
	for _, name := range shownHeaders {
		if v := r.Header.Get(name); v != "" {
			headers[name] = v
		}
	}
	var content any
	if len(body) > 0 {
		content = string(body)
		if json.Valid(body) {
			content = json.RawMessage(body)
		}
	}
	b, err := json.Marshal(struct {
		Method  string            `json:"method"`
		URL     string            `json:"url"`
		Headers map[string]string `json:"headers"`
		Body    any               `json:"body,omitempty"`
	}{r.Method, r.URL.String(), headers, content})
	if err != nil {
		return err
	}
	return c.printRaw(b)
}
