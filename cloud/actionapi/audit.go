package actionapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/hawser-iot/hawser/cloud/account"
	"github.com/hawser-iot/hawser/protocol/message"
)

// audited does an action that changes something, with its entry in the audit log: what is known of it before in the transaction of
// the change itself, what came of it afterwards, as for the API's operation of the same name.
func (f *face) audited(ctx context.Context, c *call) (any, error) {
	p := account.From(ctx)
	asked := c.asked()
	changing, pending := f.Accounts.Accompany(ctx, func() *account.Entry {
		e := c.entry(p)
		e.Diff = account.Asked(asked)
		return &e
	})
	out, err := c.action.do(f, changing, c)
	e := c.entry(p)
	e.Pending, e.Diff = pending, account.Diff(nil, asked)
	e.Result, e.Code = outcome(f.codeOf(err))
	if failed := f.Accounts.Record(ctx, e); failed != nil {
		f.log.Error("entry of the audit log not completed", "operation", e.Operation, "object", e.Object, "actor", e.Actor,
			"result", e.Result, "request", e.Request, "stored", pending.Stored(), "err", failed)
		if !pending.Stored() {
			return nil, errors.Join(failed, err)
		}
	}
	return out, err
}

// auditRefusal notes that somebody tried what they may not.
func (f *face) auditRefusal(ctx context.Context, c *call, p *account.Principal, err error) {
	e := c.entry(p)
	e.Result, e.Code = outcome(f.codeOf(err))
	if err := f.Accounts.Record(ctx, e); err != nil {
		f.log.Error("refusal without an entry in the audit log", "operation", e.Operation, "object", e.Object, "actor", e.Actor, "err", err)
	}
}

// entry is who does what to which object.
func (c *call) entry(p *account.Principal) account.Entry {
	e := account.Entry{Kind: p.Kind, Actor: p.ID, ActorName: p.Name, Operation: c.action.sibling, Object: c.object(), Address: c.http.RemoteAddr,
		Request: c.request, Project: p.Project}
	if e.Project == "" {
		e.Project = account.HubProject
	}
	return e
}

// maxObject bounds a path in the log.
const maxObject = 512

// object is the path under which the API has what the action changes.
func (c *call) object() string {
	path := c.action.object
	for name := range paramsOf(path) {
		path = strings.ReplaceAll(path, "{"+name+"}", url.PathEscape(c.text(name)))
	}
	path += c.made
	return path[:min(len(path), maxObject)]
}

// paramsOf are the names in braces.
func paramsOf(path string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for rest := path; ; {
			_, after, ok := strings.Cut(rest, "{")
			if !ok {
				return
			}
			var name string
			if name, rest, ok = strings.Cut(after, "}"); !ok || !yield(name) {
				return
			}
		}
	}
}

// unlogged are parameters that say nothing about the change, hold secrets that their names do not tell of, or what is said to a device.
var unlogged = []string{signatureParam, "PublicKey", "Region", "Zone", "ProjectId", "Configuration", "MessageContent", "Input", "Property", "Desired"}

// asked are the parameters for the audit log, as JSON.
func (c *call) asked() []byte {
	all := make(map[string]string, len(c.values))
	for name, v := range c.values {
		all[name] = v
	}
	for _, name := range unlogged {
		delete(all, name)
	}
	b, err := json.Marshal(all)
	if err != nil { // never: they are strings
		return nil
	}
	return b
}

// outcome is a RetCode as the audit log has it: the status that the API would answer with, and the code.
func outcome(code message.Code) (status int, text string) {
	switch code {
	case message.CodeOK:
		return http.StatusOK, ""
	case codeForbidden:
		status = http.StatusForbidden
	case message.CodeNoSuchProduct, message.CodeNoSuchDevice, codeNoRule, codeNoTopic, codeNoRecord, codeNoRuleAction:
		status = http.StatusNotFound
	case message.CodeInternal:
		status = http.StatusInternalServerError
	default:
		status = http.StatusBadRequest
	}
	return status, strconv.Itoa(int(code))
}
