package conversation

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// request is a request to the device face, as its lines say.
type request struct {
	method, path string
	header       [][2]string
	body         string
}

func (r *request) add(text string) error {
	if r == nil {
		return fmt.Errorf("%q belongs to no request", text)
	}
	if body, ok := strings.CutPrefix(text, "body "); ok {
		r.body = body
		return nil
	}
	name, value, ok := strings.Cut(text, ": ")
	if !ok {
		return fmt.Errorf("%q is no header", text)
	}
	r.header = append(r.header, [2]string{name, value})
	return nil
}

// answer is what a call or request was answered with, once done is closed.
type answer struct {
	done   chan struct{}
	status int
	body   string
	err    error
}

// flush sends the request whose lines have ended.
func (p *Player) flush() error {
	r := p.request
	if r == nil {
		return nil
	}
	p.request = nil
	path, err := p.names.fill(r.path)
	if err != nil {
		return err
	}
	body, err := p.names.fill(r.body)
	if err != nil {
		return err
	}
	header := http.Header{}
	for _, h := range r.header {
		value, err := p.names.fill(h[1])
		if err != nil {
			return err
		}
		header[h[0]] = append(header[h[0]], value)
	}
	p.answer = p.send(r.method, path, header, body)
	<-p.answer.done
	return p.answer.err
}

// call starts a call of the API: method, path and perhaps a body.
func (p *Player) call(text string) *answer {
	filled, err := p.names.fill(text)
	if err != nil {
		a := &answer{done: make(chan struct{}), err: err}
		close(a.done)
		return a
	}
	method, rest, _ := strings.Cut(filled, " ")
	path, body, _ := strings.Cut(rest, " ")
	header := http.Header{"Authorization": {"Bearer " + p.hub.Key}, "Content-Type": {"application/json"}}
	if method == http.MethodPatch {
		header.Set("Content-Type", "application/merge-patch+json")
	}
	return p.send(method, path, header, body)
}

func (p *Player) send(method, path string, header http.Header, body string) *answer {
	a := &answer{done: make(chan struct{})}
	go func() {
		defer close(a.done)
		a.status, a.body, a.err = do(method, p.reach(path), header, body)
	}()
	return a
}

// reach is the URL of a path of the hub, or of a whole URL of it: the name in that need not lead here.
func (p *Player) reach(path string) string {
	scheme, rest, whole := strings.Cut(path, "://")
	if !whole {
		return "http://" + p.hub.HTTP + path
	}
	door := p.hub.HTTP
	if scheme == "https" {
		door = p.hub.HTTPS
	}
	return scheme + "://" + door + rest[strings.IndexByte(rest+"/", '/'):]
}

// httpClient trusts the hub's own CA unseen: what is looked at here is not TLS.
var httpClient = http.Client{Timeout: patience, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}

func do(method, url string, header http.Header, body string) (int, string, error) {
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	req.Header = header
	resp, err := httpClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(bytes.TrimRight(b, " \n")), err
}

// answered compares an answer with "STATUS" or "STATUS TEXT".
func (p *Player) answered(a *answer, want string) error {
	<-a.done
	if a.err != nil {
		return a.err
	}
	status, pattern, hasText := strings.Cut(want, " ")
	if strconv.Itoa(a.status) != status {
		return fmt.Errorf("status %d: %s", a.status, a.body)
	}
	if !hasText {
		return nil
	}
	return p.names.match(pattern, a.body)
}

// wanted waits for an answer with this status and reads it into out.
func (p *Player) wanted(a *answer, status int, out any) error {
	<-a.done
	if a.err != nil {
		return a.err
	}
	if a.status != status {
		return fmt.Errorf("status %d: %s", a.status, a.body)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal([]byte(a.body), out)
}
