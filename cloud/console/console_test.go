package console

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func serve(t *testing.T, state func(context.Context) (State, error), done chan struct{}) *httptest.Server {
	t.Helper()
	c, err := New(state, done, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(c)
	t.Cleanup(srv.Close)
	return srv
}

func well(context.Context) (State, error) {
	return State{SetUp: true, HTTPS: 8443, Version: "1.2.3"}, nil
}

func get(t *testing.T, srv *httptest.Server, method, path, encodings string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, srv.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept-Encoding", encodings) // also keeps the client from unpacking
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

// entry is the script that the page begins with.
func entry(t *testing.T, page string) string {
	t.Helper()
	m := regexp.MustCompile(`<script type="module"[^>]* src="/console/(assets/[^"]+\.js)"></script>`).FindStringSubmatch(page)
	if m == nil {
		t.Fatalf("the page has no script:\n%s", page)
	}
	return m[1]
}

func TestThePageIsAnsweredForEveryPathAndAllowsNoInlineScript(t *testing.T) {
	srv := serve(t, well, nil)
	nonces := map[string]bool{}
	for _, p := range []string{"/console/", "/console/default/devices", "/console/default/devices/p/d:1@x?q=state:online", "/console/..%2fetc"} {
		resp, body := get(t, srv, "GET", p, "gzip, br")
		policy := resp.Header.Get("Content-Security-Policy")
		if resp.StatusCode != 200 || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") || resp.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %s %v", p, resp.Status, resp.Header)
		}
		m := regexp.MustCompile(`style-src 'self' 'nonce-([A-Z2-7]{20,})'`).FindStringSubmatch(policy)
		if m == nil || !strings.Contains(body, `content="`+m[1]+`"`) || strings.Contains(body, noncePlace) {
			t.Errorf("%s: the nonce of the policy is not that of the page: %s\n%s", p, policy, body)
			continue
		}
		nonces[m[1]] = true
		for _, want := range []string{"default-src 'none'", "script-src 'self';", "frame-ancestors 'none'", "base-uri 'none'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("%s: the policy lacks %s: %s", p, want, policy)
			}
		}
		if regexp.MustCompile(`<script(>| [^>]*[^"/]>[^<])|\son\w+=`).MatchString(body) {
			t.Errorf("%s: inline script:\n%s", p, body)
		}
	}
	if len(nonces) != 4 {
		t.Errorf("%d nonces for 4 pages", len(nonces))
	}
}

func TestHeadersOfEveryAnswer(t *testing.T) {
	srv := serve(t, well, nil)
	_, page := get(t, srv, "GET", "/console/", "")
	for _, p := range []string{"/console/", "/console/state", "/console/icon.svg", "/console/" + entry(t, page), "/console/assets/gone.js"} {
		resp, _ := get(t, srv, "GET", p, "br")
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "Cross-Origin-Opener-Policy": "same-origin"} {
			if got := resp.Header.Get(name); got != want {
				t.Errorf("%s: %s: got %q, want %q", p, name, got, want)
			}
		}
	}
}

func TestFilesComePackedAndStay(t *testing.T) {
	srv := serve(t, well, nil)
	_, page := get(t, srv, "GET", "/console/", "")
	script := "/console/" + entry(t, page)
	_, plain := get(t, srv, "GET", script, "identity")
	for _, tt := range []struct{ accept, want string }{
		{"gzip, deflate, br, zstd", "br"}, {"gzip", "gzip"}, {"br;q=0, gzip;q=0.5", "gzip"}, {"", ""}, {"identity", ""}, {"gzip;q=0", ""},
	} {
		resp, body := get(t, srv, "GET", script, tt.accept)
		if got := resp.Header.Get("Content-Encoding"); got != tt.want || resp.StatusCode != 200 {
			t.Errorf("%q: %s, encoding %q, want %q", tt.accept, resp.Status, got, tt.want)
		}
		if !strings.Contains(resp.Header.Get("Cache-Control"), "immutable") || resp.Header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("%q: %v", tt.accept, resp.Header)
		}
		if tt.want == "gzip" {
			z, err := gzip.NewReader(strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(z); err != nil || string(b) != plain {
				t.Errorf("%q: unpacked it is another file (%v)", tt.accept, err)
			}
		}
	}
	if resp, body := get(t, srv, "HEAD", script, "br"); resp.ContentLength <= 0 || body != "" {
		t.Errorf("HEAD: length %d, body of %d", resp.ContentLength, len(body))
	}
	if resp, _ := get(t, srv, "GET", "/console/assets/index-OLD.js", "br"); resp.StatusCode != 404 || strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
		t.Errorf("a script of an older build: %s %v", resp.Status, resp.Header)
	}
	if resp, _ := get(t, srv, "POST", "/console/", ""); resp.StatusCode != 405 {
		t.Errorf("POST: %s", resp.Status)
	}
}

func TestState(t *testing.T) {
	srv := serve(t, well, nil)
	if _, body := get(t, srv, "GET", "/console/state", ""); strings.TrimSpace(body) != `{"setUp":true,"oidc":false,"https":8443,"version":"1.2.3"}` {
		t.Errorf("got %s", body)
	}
	srv = serve(t, func(context.Context) (State, error) { return State{}, errors.New("the store is away") }, nil)
	if resp, body := get(t, srv, "GET", "/console/state", ""); resp.StatusCode != 503 || strings.Contains(body, "store") {
		t.Errorf("without the store: %s %s", resp.Status, body)
	}
}

func TestAliveEndsWithTheHub(t *testing.T) {
	done := make(chan struct{})
	srv := serve(t, well, done)
	resp, err := http.Get(srv.URL + "/console/alive")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	r := bufio.NewReader(resp.Body)
	if line, err := r.ReadString('\n'); err != nil || line != ":\n" {
		t.Fatalf("got %q, %v", line, err)
	}
	close(done)
	if _, err := io.ReadAll(r); err != nil {
		t.Errorf("the stream ended with %v", err)
	}
}

func TestAliveIsBounded(t *testing.T) {
	c, err := New(well, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for range maxAlive {
		c.alive <- struct{}{}
	}
	w := httptest.NewRecorder()
	c.ServeHTTP(w, httptest.NewRequest("GET", "/console/alive", nil))
	if w.Code != http.StatusTooManyRequests {
		t.Errorf("got %d", w.Code)
	}
}

func TestADamagedBuildIsNotServed(t *testing.T) {
	page := &fstest.MapFile{Data: []byte(noncePlace)}
	file := &fstest.MapFile{Data: []byte("x")}
	for name, build := range map[string]fstest.MapFS{
		"empty":         {"dist/x.js.gz": file, "dist/x.js.br": file},
		"only gzip":     {"dist/index.html": page, "dist/assets/x.js.gz": file},
		"not packed":    {"dist/index.html": page, "dist/assets/x.js": file},
		"without nonce": {"dist/index.html": file},
	} {
		if _, _, err := load(build); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if files, _, err := load(fstest.MapFS{"dist/index.html": page, "dist/assets/x.css.gz": file, "dist/assets/x.css.br": file}); err != nil || files["assets/x.css"] == nil {
		t.Errorf("a whole one: %v", err)
	}
}

// How large the console may be, in bytes compressed with gzip: what must be there before the first page is to be seen, and all of it.
const (
	maxFirst = 260_000
	maxAll   = 2_000_000
)

var (
	staticImport  = regexp.MustCompile(`(?:import|from)\s*"(\./[^"]+)"`)
	dynamicImport = regexp.MustCompile(`import\(\s*["` + "`" + `](\./[^"` + "`" + `]+)["` + "`" + `]`)
	styleOfPage   = regexp.MustCompile(`href="/console/(assets/[^"]+\.css)"`)
)

// closure are a script and all that it cannot do without.
func closure(t *testing.T, files map[string]*asset, name string, into map[string]bool) {
	t.Helper()
	if into[name] {
		return
	}
	into[name] = true
	for _, m := range staticImport.FindAllStringSubmatch(text(t, files, name), -1) {
		closure(t, files, path.Join("assets", m[1]), into)
	}
}

func text(t *testing.T, files map[string]*asset, name string) string {
	t.Helper()
	a := files[name]
	if a == nil {
		t.Fatalf("%s is imported and not there", name)
	}
	b, err := a.plain()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestSizes(t *testing.T) {
	files, index, err := load(dist)
	if err != nil {
		t.Fatal(err)
	}
	all := 0
	for _, a := range files {
		all += len(a.gzip)
	}
	first := map[string]bool{}
	start := entry(t, string(index))
	closure(t, files, start, first)
	for _, m := range styleOfPage.FindAllStringSubmatch(string(index), -1) {
		first[m[1]] = true
	}
	size := func(names map[string]bool) (n int) {
		for name := range names {
			n += len(files[name].gzip)
		}
		return n
	}
	t.Logf("the frame %d bytes, all %d", size(first), all)
	var pages []string
	for _, m := range dynamicImport.FindAllStringSubmatch(text(t, files, start), -1) {
		pages = append(pages, path.Join("assets", m[1]))
	}
	slices.Sort(pages)
	if pages = slices.Compact(pages); len(pages) < 3 {
		t.Errorf("only %d pages are loaded by need: %v", len(pages), pages)
	}
	for _, p := range pages {
		with := map[string]bool{}
		for name := range first {
			with[name] = true
		}
		closure(t, files, p, with)
		t.Logf("first page %s: %d bytes", p, size(with))
		if n := size(with); n > maxFirst {
			t.Errorf("first page %s: %d bytes, more than %d", p, n, maxFirst)
		}
	}
	if all > maxAll {
		t.Errorf("all of it: %d bytes, more than %d", all, maxAll)
	}
}
