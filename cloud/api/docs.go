package api

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"
)

// docsPath is where the readable form of the document is.
const docsPath = "/docs/api"

var (
	//go:embed docs/page.html
	pageHTML string
	//go:embed docs/page.css
	pageCSS string
	//go:embed docs/page.js
	pageJS string
)

// page is the document for people: one HTML page that needs nothing else.
type page struct {
	Title, Version string
	About          template.HTML
	CSS            template.CSS
	JS             template.JS
	Tags           []*pageTag
}

type pageTag struct {
	Name        string
	Description template.HTML
	Operations  []pageOperation
}

type pageOperation struct {
	ID, Method, Path, Summary string
	Need                      string // what the caller must have
	Description               template.HTML
	Parameters                []pageMember
	Body                      *pageBody
	Responses                 []pageResponse
	Curl, CLI                 string
}

// Short is the method as it fits the list.
func (o pageOperation) Short() string { return strings.Replace(o.Method, "DELETE", "DEL", 1) }

type pageMember struct {
	Name, Type  string
	Depth       int
	Required    bool
	Description template.HTML
}

type pageBody struct {
	Media   string
	Members []pageMember
}

type pageResponse struct {
	Status, Media string
	Description   template.HTML
	Members       []pageMember
}

// readable is the page, made when it is first asked for: it is most of what the start of an API would cost.
var readable = sync.OnceValues(func() ([]byte, error) { return renderDocs(document) })

// docs answers the page.
func (s *server) docs() http.HandlerFunc {
	// Nothing from elsewhere, and no script but ours.
	script := sha256.Sum256([]byte(pageJS))
	policy := "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-" + base64.StdEncoding.EncodeToString(script[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	return func(w http.ResponseWriter, r *http.Request) {
		html, err := readable()
		if err != nil {
			s.fail(w, r, fmt.Errorf("api: make %s: %w", docsPath, err))
			return
		}
		tag, h := etagOf(html), w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("ETag", tag)
		h.Set("Cache-Control", "no-cache")
		if matchesAny(r.Header.Get("If-None-Match"), tag) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		_, _ = w.Write(html) // the reader may have gone
	}
}

func renderDocs(doc []byte) ([]byte, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(doc, &root); err != nil {
		return nil, err
	}
	d := docReader{root: root.Content[0]}
	p := page{Title: text(d.root, "info", "title"), Version: text(d.root, "info", "version"),
		About: prose("# " + text(d.root, "info", "title") + "\n\n" + text(d.root, "info", "description")),
		CSS:   template.CSS(pageCSS), JS: template.JS(pageJS), Tags: d.tags()}
	t, err := template.New("page").Parse(pageHTML)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := t.Execute(&out, p); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// tags are the operations by their first tag, in the order of the document.
func (d docReader) tags() []*pageTag {
	var list []*pageTag
	byName := make(map[string]*pageTag)
	tag := func(name string) *pageTag {
		if byName[name] == nil {
			byName[name] = &pageTag{Name: name}
			list = append(list, byName[name])
		}
		return byName[name]
	}
	for _, t := range items(field(d.root, "tags")) {
		tag(text(t, "name")).Description = prose(text(t, "description"))
	}
	for path, methods := range members(field(d.root, "paths")) {
		for method, op := range members(methods) {
			if method == "parameters" {
				continue
			}
			name := "other"
			if names := items(field(op, "tags")); len(names) > 0 {
				name = names[0].Value
			}
			t := tag(name)
			t.Operations = append(t.Operations, d.operation(path, strings.ToUpper(method), methods, op))
		}
	}
	var used []*pageTag
	for _, t := range list {
		if len(t.Operations) > 0 {
			used = append(used, t)
		}
	}
	return used
}

func (d docReader) operation(path, method string, methods, op *yaml.Node) pageOperation {
	o := pageOperation{ID: text(op, "operationId"), Method: method, Path: path, Summary: text(op, "summary"),
		Description: prose(text(op, "description")), CLI: text(op, "x-hawserctl"), Need: needOf(op)}
	for _, from := range []*yaml.Node{methods, op} {
		for _, p := range items(field(from, "parameters")) {
			p = d.resolve(p)
			o.Parameters = append(o.Parameters, pageMember{Name: text(p, "name"), Required: text(p, "required") == "true",
				Type: d.typeOf(field(p, "schema")) + ", " + text(p, "in"), Description: prose(text(p, "description"))})
		}
	}
	for media, content := range members(field(d.resolve(field(op, "requestBody")), "content")) {
		o.Body = &pageBody{Media: media, Members: d.membersOf(field(content, "schema"), 0, nil)}
		break
	}
	for status, response := range members(field(op, "responses")) {
		if status == "default" {
			continue // a problem, as everywhere
		}
		response = d.resolve(response)
		r := pageResponse{Status: status, Description: prose(text(response, "description"))}
		for media, content := range members(field(response, "content")) {
			r.Media, r.Members = media, d.membersOf(field(content, "schema"), 0, nil)
			break
		}
		o.Responses = append(o.Responses, r)
	}
	o.Curl = d.curl(o, op)
	return o
}

func needOf(op *yaml.Node) string {
	permission := text(op, "x-permission")
	switch {
	case permission == self:
		return "for every caller"
	case permission == "":
		return "needs no caller"
	case text(op, "x-scope") == scopeHub:
		return "needs " + permission + " on the hub"
	}
	return "needs " + permission
}
