package api

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/hawser-iot/hawser/cloud/account"
	"github.com/hawser-iot/hawser/cloud/apitype"
	"github.com/hawser-iot/hawser/cloud/registry"
)

// held is an answer that waits until the audit log has its entry.
type held struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (h *held) Header() http.Header { return h.header }

func (h *held) WriteHeader(status int) {
	if h.status == 0 {
		h.status = status
	}
}

func (h *held) Write(b []byte) (int, error) {
	h.WriteHeader(http.StatusOK)
	return h.body.Write(b)
}

// audit has every change in the log before it is answered: what is known of it before in the transaction of the change itself,
// what came of it afterwards. A change that has no transaction, and whose entry cannot be stored, is answered as one that may not
// have been made, which is told to the hub's log.
func (g *guarded) audit(op operation, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		before := g.look(op.object, r)
		asked := asks(op, r, before)
		ctx, pending := g.s.Accounts.Accompany(r.Context(), func() *account.Entry {
			if requestOf(r.Context()).quiet {
				return nil
			}
			e := entryOf(op, r, account.From(r.Context()))
			e.Diff = asked
			return &e
		})
		h := &held{header: w.Header()}
		next(h, r.WithContext(ctx))
		h.WriteHeader(http.StatusOK)
		e := entryOf(op, r, account.From(r.Context()))
		e.Result, e.Pending = h.status, pending
		switch {
		case h.status >= http.StatusBadRequest:
			e.Code = member(h.body.Bytes(), "code")
		case op.object != "":
			e.Diff = account.Diff(before, g.look(op.object, r))
		default:
			e.Object += made(op, h.body.Bytes())
			e.Diff = account.Diff(nil, h.body.Bytes())
		}
		if !requestOf(r.Context()).quiet || pending.Stored() {
			if err := g.s.Accounts.Record(r.Context(), e); err != nil {
				g.s.log.Error("entry of the audit log not completed", "operation", e.Operation, "object", e.Object, "actor", e.Actor,
					"result", e.Result, "request", e.Request, "stored", pending.Stored(), "err", err)
				if !pending.Stored() {
					g.s.fail(w, r, err)
					return
				}
			}
		}
		w.WriteHeader(h.status)
		_, _ = w.Write(h.body.Bytes()) // the caller may have gone
	}
}

// asks is what a change is to do, as far as that shows before it is made: the body of the request, or the end of what was there.
// Only of things that can be looked at afterwards, so that nothing else gets into the log this way.
func asks(op operation, r *http.Request, before []byte) string {
	if op.open || op.object == "" && op.made == "" {
		return ""
	}
	if r.Method == http.MethodDelete {
		return account.Diff(before, nil)
	}
	if media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); media != "application/json" {
		return ""
	}
	body, err := io.ReadAll(r.Body)
	var rest io.Reader = bytes.NewReader(body)
	if err != nil { // whoever reads it next is to meet the error too
		rest = io.MultiReader(rest, failing{err})
	}
	r.Body = io.NopCloser(rest)
	return account.Asked(body)
}

// failing is a reader that has only an error.
type failing struct{ err error }

// Read is io.Reader's.
func (f failing) Read([]byte) (int, error) { return 0, f.err }

// look reads what an operation is about to change, or has changed, as the caller would.
func (g *guarded) look(route string, r *http.Request) []byte {
	if route == "" {
		return nil
	}
	get := r.Clone(r.Context())
	get.Method, get.Body = http.MethodGet, http.NoBody
	get.URL.RawQuery = ""
	h := &held{header: http.Header{}}
	g.bare[route](h, get)
	if h.status != http.StatusOK {
		return nil
	}
	return h.body.Bytes()
}

// auditRefusal notes that somebody tried what they may not.
func (s *server) auditRefusal(op operation, r *http.Request, p *account.Principal, err error) {
	e := entryOf(op, r, p)
	problem, _ := problemOf(err)
	e.Result, e.Code = problem.status, problem.code
	if err := s.Accounts.Record(r.Context(), e); err != nil {
		s.log.Error("refusal without an entry in the audit log", "operation", e.Operation, "object", e.Object, "actor", e.Actor, "err", err)
	}
}

// entryOf is who does what to which object.
func entryOf(op operation, r *http.Request, p *account.Principal) account.Entry {
	known := requestOf(r.Context())
	e := known.actor
	e.Operation, e.Object, e.Address, e.Request, e.Project = op.id, cutPath(r.URL.EscapedPath()), known.from.Address, known.id, account.HubProject
	if p != nil {
		e.Kind, e.Actor, e.ActorName = p.Kind, p.ID, p.Name
		switch {
		case op.hub:
		case known.place != "":
			e.Project = known.place
		case p.Project != "":
			e.Project = p.Project
		}
	}
	return e
}

// maxObject bounds a path in the log.
const maxObject = 512

func cutPath(path string) string { return path[:min(len(path), maxObject)] }

// made is what follows the path of a list for the thing that was made in it.
func made(op operation, body []byte) string {
	if op.made == "" {
		return ""
	}
	for _, name := range []string{op.made, "id", "user"} {
		if id := member(body, name); id != "" {
			return "/" + url.PathEscape(id)
		}
	}
	return ""
}

// member is a member of a JSON object that is a string.
func member(body []byte, name string) string {
	var object map[string]json.RawMessage
	var text string
	if json.Unmarshal(body, &object) != nil || json.Unmarshal(object[name], &text) != nil {
		return ""
	}
	return text
}

// Audit is what the API needs of the audit log.
type Audit interface {
	Accompany(ctx context.Context, entry func() *account.Entry) (context.Context, *account.Pending)
	Record(ctx context.Context, e account.Entry) error
	Audit(ctx context.Context, f account.AuditFilter) ([]*account.Entry, error)
}

func (s *server) ListAudit(ctx context.Context, r apitype.ListAuditRequestObject) (apitype.ListAuditResponseObject, error) {
	f, err := auditFilter(r.Params)
	if err != nil {
		return nil, err
	}
	f.Project = account.From(ctx).Within()
	list, err := s.Accounts.Audit(ctx, f)
	if err != nil {
		return nil, err
	}
	out := apitype.ListAudit200JSONResponse{Items: make([]apitype.AuditEntry, len(list))}
	for i, e := range list {
		if out.Items[i], err = entryTo(e); err != nil {
			return nil, err
		}
	}
	if len(list) == f.Limit && !f.Answered {
		out.NextCursor = numberCursorOf(list[len(list)-1].ID)
	}
	return out, nil
}

func auditFilter(p apitype.ListAuditParams) (f account.AuditFilter, err error) {
	page, err := pageOf(p.Limit, nil)
	if err != nil {
		return f, err
	}
	f = account.AuditFilter{Actor: deref(p.Actor), Operation: deref(p.Operation), Object: deref(p.Object), Failed: p.Failed,
		Since: deref(p.Since), Until: deref(p.Until), Limit: page.Limit}
	if f.Limit == 0 {
		f.Limit = registry.DefaultLimit
	}
	at, err := numberCursor(p.Cursor)
	if err != nil {
		return f, err
	}
	switch sort := valueOf(p.Sort); {
	case sort == apitype.AuditOldestFirst:
		f.Oldest, f.After = true, at
	case sort != "" && sort != apitype.AuditNewestFirst:
		return f, invalid("sort", "sort: must be created or -created")
	default:
		f.Before = at
	}
	if p.After == nil {
		return f, nil
	}
	f.Oldest, f.Answered = true, true
	if f.After, err = strconv.ParseInt(*p.After, 10, 64); err != nil || f.After < 0 {
		return f, invalid("after", "after: is no id of an entry")
	}
	return f, nil
}

func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

func entryTo(e *account.Entry) (apitype.AuditEntry, error) {
	out := apitype.AuditEntry{ID: strconv.FormatInt(e.ID, 10), At: e.At, Project: e.Project, ActorKind: string(e.Kind), Actor: e.Actor, ActorName: e.ActorName,
		Operation: e.Operation, Object: e.Object, Result: e.Result, Code: e.Code, Address: e.Address, RequestID: e.Request}
	if strings.TrimSpace(e.Diff) == "" {
		return out, nil
	}
	return out, json.Unmarshal([]byte(e.Diff), &out.Diff)
}
