package httpsink

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/cloud/rules/template"
	"github.com/hawser-iot/hawser/protocol/codec"
)

// shape makes requests of records.
type shape struct {
	method      string
	path, query *template.Template
	headers     []headerShape
	body        *template.Template // nil: the result
	json        bool               // the body is JSON
	batch       int                // 0: no arrays
	gzip        bool
	secrets     []string
	fields      bool // something depends on the record
}

type headerShape struct {
	name  string // canonical
	value *template.Template
}

// request is one that is ready to go to some base URL.
type request struct {
	method, path, query string // path and query as they go out
	header              http.Header
	body                []byte
	gzip                bool
	secrets             []string
}

// set reads the parts of a configuration that make requests.
func (s *shape) set(c Config) (err error) {
	switch c.Method {
	case "", http.MethodPost:
		s.method = http.MethodPost
	case http.MethodPut:
		s.method = http.MethodPut
	default:
		return errors.New("method must be POST or PUT")
	}
	if c.Compression != "" && c.Compression != "gzip" && c.Compression != "none" {
		return errors.New("compression must be gzip or none")
	}
	s.gzip = c.Compression == "gzip"
	if c.BatchSize > 1 {
		s.batch = c.BatchSize
	}
	if err := checkSecrets(c.SigningSecrets); err != nil {
		return err
	}
	s.secrets = c.SigningSecrets
	if err := s.setPath(c.Path); err != nil {
		return fmt.Errorf("path: %w", err)
	}
	if err := s.setHeaders(c.Headers); err != nil {
		return fmt.Errorf("headers: %w", err)
	}
	if c.Body != "" {
		if s.body, err = template.Parse(c.Body); err != nil {
			return fmt.Errorf("body: %w", err)
		}
		s.fields = true
	}
	if s.batch > 0 && !s.json {
		return errors.New("batchSize needs a body that is JSON: of others no array can be made")
	}
	return nil
}

// setPath splits the template where the query begins: what is filled in is escaped differently there.
func (s *shape) setPath(text string) (err error) {
	at := len(text)
	for i, depth := 0, 0; i < len(text); i++ {
		switch {
		case strings.HasPrefix(text[i:], "${"):
			depth++
		case text[i] == '}' && depth > 0:
			depth--
		case text[i] == '?' && depth == 0 && at == len(text):
			at = i
		}
	}
	path, query := text[:at], strings.TrimPrefix(text[at:], "?")
	if s.path, err = template.Parse(path); err != nil {
		return err
	}
	if s.query, err = template.Parse(query); err != nil {
		return err
	}
	s.fields = s.fields || len(s.path.Fields())+len(s.query.Fields()) > 0
	filled := text
	for _, f := range append(s.path.Fields(), s.query.Fields()...) {
		filled = strings.ReplaceAll(filled, "${"+f+"}", "x")
	}
	switch u, err := url.Parse("http://host" + filled); {
	case path != "" && path[0] != '/':
		return errors.New("begins with /")
	case err != nil || u.Host != "host" || u.Fragment != "" || strings.ContainsFunc(filled, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return fmt.Errorf("%q is none: what is special in a URL is written %%XX", text)
	case hasDots(u.Path):
		return errors.New("has a level .. or . in it, which leads elsewhere")
	}
	return nil
}

func hasDots(path string) bool {
	return slices.ContainsFunc(strings.Split(path, "/"), func(level string) bool { return level == "." || level == ".." })
}

// ours are headers that the sink sets itself.
var ours = map[string]bool{"Content-Length": true, "Host": true, "Transfer-Encoding": true, "Connection": true, "Content-Encoding": true,
	"Idempotency-Key": true, "Hawser-Message-Ids": true, "Hawser-Signature": true}

func checkName(name string) (canonical string, err error) {
	canonical = http.CanonicalHeaderKey(name)
	switch {
	case !validName(name):
		return "", fmt.Errorf("%q is no name of a header", name)
	case ours[canonical]:
		return "", fmt.Errorf("%s is set by the hub", canonical)
	}
	return canonical, nil
}

// validName tells whether s is a token (RFC 9110 section 5.6.2).
func validName(s string) bool {
	if s == "" {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`()<>@,;:\"/[]?={}`, r)
	}) < 0
}

func badValue(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}

func (s *shape) setHeaders(headers map[string]string) error {
	if len(headers) > maxHeaders {
		return fmt.Errorf("there may be at most %d", maxHeaders)
	}
	kind := "application/json"
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		canonical, err := checkName(name)
		if err != nil {
			return err
		}
		if badValue(headers[name]) {
			return fmt.Errorf("the value of %s cannot be sent", canonical)
		}
		value, err := template.Parse(headers[name])
		if err != nil {
			return fmt.Errorf("%s: %w", canonical, err)
		}
		if canonical == "Content-Type" {
			kind = headers[name]
		}
		s.headers = append(s.headers, headerShape{canonical, value})
		s.fields = s.fields || len(value.Fields()) > 0
	}
	media, _, _ := strings.Cut(strings.ToLower(kind), ";")
	media = strings.TrimSpace(media)
	s.json = media == "application/json" || strings.HasSuffix(media, "+json")
	return nil
}

// request makes one request of the first records, and tells of how many.
func (s *shape) request(records []rules.Record, most int) (*request, int, error) {
	r, err := s.fill(&records[0])
	if err != nil {
		return nil, 0, err
	}
	n := 1
	if s.batch > 0 {
		body := append([]byte{'['}, r.body...)
		for ; n < min(len(records), s.batch); n++ {
			// One that cannot be filled in goes by itself, as one that goes elsewhere does.
			next, err := s.fill(&records[n])
			if err != nil || !r.goesWith(next) || len(body)+len(next.body) > most {
				break
			}
			body = append(append(body, ','), next.body...)
		}
		r.body = append(body, ']')
	}
	r.header.Set("Idempotency-Key", key(records[:n]))
	r.header.Set("Hawser-Message-Ids", messageIDs(records[:n]))
	return r, n, nil
}

// goesWith tells whether two requests differ in nothing but the body.
func (r *request) goesWith(o *request) bool {
	return r.path == o.path && r.query == o.query && maps.EqualFunc(r.header, o.header, slices.Equal[[]string])
}

// fill makes the request of one record.
func (s *shape) fill(rec *rules.Record) (*request, error) {
	r := &request{method: s.method, header: make(http.Header, len(s.headers)+4), body: rec.Result, gzip: s.gzip, secrets: s.secrets}
	r.header.Set("Content-Type", "application/json")
	var row *template.Row
	if s.fields {
		var err error
		if row, err = template.Open(rec); err != nil {
			return nil, err
		}
		defer row.Release()
	}
	var err error
	if r.path, err = s.path.Expand(row, pathText); err != nil {
		return nil, permanent("path", err)
	}
	if r.query, err = s.query.Expand(row, queryText); err != nil {
		return nil, permanent("path", err)
	}
	for _, h := range s.headers {
		value, err := h.value.Text(row)
		if err == nil && badValue(value) {
			err = errors.New("what is filled in cannot be sent in a header")
		}
		if err != nil {
			return nil, permanent("header "+h.name, err)
		}
		r.header.Set(h.name, value)
	}
	return r, s.fillBody(r, row)
}

func (s *shape) fillBody(r *request, row *template.Row) error {
	if s.body == nil {
		return nil
	}
	if !s.json {
		text, err := s.body.Text(row)
		r.body = []byte(text)
		return permanent("body", err)
	}
	text, err := s.body.Expand(row, jsonText)
	if err == nil && !json.Valid([]byte(text)) {
		err = errors.New("is no JSON with what is filled in; a ${field} that is a text stands in quotes")
	}
	r.body = []byte(text)
	return permanent("body", err)
}

func permanent(where string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %s: %w", rules.ErrPermanent, where, err)
}

// plainText is a value as it is written into paths, queries and headers.
func plainText(field string, v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case uint64:
		return strconv.FormatUint(v, 10), nil
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), nil
	case bool:
		return strconv.FormatBool(v), nil
	}
	return "", &template.FieldError{Field: field, Err: errors.New("is null, an object or an array: it has no place there")}
}

// pathText is a value as one level of a path: it must neither add levels nor go up.
func pathText(field string, v any) (string, error) {
	text, err := plainText(field, v)
	if err == nil && (text == "" || text == "." || text == "..") {
		err = &template.FieldError{Field: field, Err: fmt.Errorf("%q cannot be part of a path", text)}
	}
	return url.PathEscape(text), err
}

func queryText(field string, v any) (string, error) {
	text, err := plainText(field, v)
	return url.QueryEscape(text), err
}

// jsonText is a value within JSON: a text without quotes, which stand around it in the template, everything else as it is.
func jsonText(_ string, v any) (string, error) {
	switch v := v.(type) {
	case nil:
		return "null", nil
	case string:
		quoted := codec.AppendString(nil, v)
		return string(quoted[1 : len(quoted)-1]), nil
	case json.RawMessage:
		return string(v), nil
	case float64:
		return string(codec.AppendFloat(nil, v)), nil
	}
	return fmt.Sprint(v), nil
}

// key is the output's own key, of several the first one's and their number.
func key(records []rules.Record) string {
	if len(records) == 1 {
		return records[0].Key()
	}
	return records[0].Key() + "+" + strconv.Itoa(len(records)-1)
}

func messageIDs(records []rules.Record) string {
	ids := make([]string, len(records))
	for i := range records {
		ids[i] = records[i].MessageID.String()
	}
	return strings.Join(ids, ",")
}

// url is where the request goes to, from base.
func (r *request) url(base *url.URL) *url.URL {
	u := *base
	if r.path != "" {
		raw := strings.TrimSuffix(base.EscapedPath(), "/") + escapeRest(r.path)
		if path, err := url.PathUnescape(raw); err == nil { // always: each part is escaped
			u.Path, u.RawPath = path, raw
		}
	}
	switch {
	case u.RawQuery == "":
		u.RawQuery = r.query
	case r.query != "":
		u.RawQuery += "&" + r.query
	}
	return &u
}

// escapeRest escapes what has no place in a path and stands there in the action's own text. With one such character in it net/url takes the
// escapes for lost and makes them anew, of a path in which a field's %2F has become a level.
func escapeRest(path string) string {
	if !strings.ContainsAny(path, rest) {
		return path
	}
	b := make([]byte, 0, len(path)+8)
	for i := range len(path) {
		if c := path[i]; strings.IndexByte(rest, c) >= 0 {
			b = fmt.Appendf(b, "%%%02X", c)
		} else {
			b = append(b, c)
		}
	}
	return string(b)
}

// rest are the printable characters that RFC 3986 has in no path, but for % and what ends one.
const rest = "\"<>\\^`{|}"

// hidden stands for what may be a credential.
const hidden = "***"

// headers are the request's headers as they may be shown.
func (r *request) headers() []string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(r.header)) {
		value := r.header.Get(name)
		if !ours[name] && sensitive(name) {
			value = hidden
		}
		list = append(list, name+": "+value)
	}
	if r.gzip {
		list = append(list, "Content-Encoding: gzip")
	}
	return list
}

// sensitive tells whether a header is likely to hold a credential.
func sensitive(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc([]string{"auth", "cookie", "token", "key", "secret", "signature", "password"},
		func(part string) bool { return strings.Contains(name, part) })
}

// shown is the body for people: in base64 when it is no text.
func (r *request) shown() string {
	if utf8.Valid(r.body) {
		return string(r.body)
	}
	return "base64:" + base64.StdEncoding.EncodeToString(r.body)
}
