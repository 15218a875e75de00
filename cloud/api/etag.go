package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/hawser-iot/hawser/cloud/registry"
)

// An ETag of an object with a revision is "<revision>-<hash>": the revision says whether somebody changed the object, the
// hash whether anything at all is other than it was, a device's state for one. If-Match compares the revision alone, so that
// a device that comes online does not get into an operator's way; a bare "<revision>" will do. If-None-Match compares all.

// maxTags is how many ETags a condition may list.
const maxTags = 50

// ifMatchKey is the context's key of the revision that a change is held to.
type ifMatchKey struct{}

// ifRevision is the revision that the caller has seen; nil when any will do. Changes that their store can hold to it do so in their
// transaction, where nobody can come between.
func ifRevision(ctx context.Context) *int64 {
	revision, ok := ctx.Value(ifMatchKey{}).(int64)
	if !ok {
		return nil
	}
	return &revision
}

// onlyIf is the same for changes of the registry that take it as an option.
func onlyIf(ctx context.Context) []registry.IfRevision {
	if revision := ifRevision(ctx); revision != nil {
		return []registry.IfRevision{registry.IfRevision(*revision)}
	}
	return nil
}

// parseIfMatch reads one ETag of ours; ok is false for another form. any is *, or no condition.
func parseIfMatch(header string) (revision int64, any, ok bool) {
	text := strings.TrimSpace(header)
	if text == "" || text == "*" {
		return 0, true, true
	}
	inner, found := strings.CutPrefix(text, `"`)
	inner, closed := strings.CutSuffix(inner, `"`)
	if !found || !closed || len(inner) == 0 || strings.ContainsAny(inner, `" ,`) {
		return 0, false, false
	}
	number, _, _ := strings.Cut(inner, "-")
	revision, err := strconv.ParseInt(number, 10, 64)
	return revision, false, err == nil && strconv.FormatInt(revision, 10) == number
}

// conditional holds a change to the revision that If-Match names. Without the header there is no condition.
func (g *guarded) conditional(op operation, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		header := r.Header.Get("If-Match")
		want, whichever, ok := parseIfMatch(header)
		switch {
		case !ok:
			g.s.write(w, r, invalid("If-Match", "If-Match: must be one ETag as GET gave it, or *"))
			return
		case header == "":
			next(w, r)
			return
		}
		tag, have, found := g.revisionOf(op, r)
		switch {
		case op.object == "" || tag != "" && !found:
			g.s.write(w, r, invalid("If-Match", "If-Match: what this changes has no revision to compare; leave the header out"))
			return
		case whichever || tag == "": // what is not there is told by the operation itself
		case have != want:
			w.Header().Set("ETag", tag)
			g.s.write(w, r, problem{status: http.StatusPreconditionFailed, code: "revision_mismatch",
				detail: "it has been changed in the meantime: its revision is " + strconv.FormatInt(have, 10) + ", not " + strconv.FormatInt(want, 10) + "; read it again"})
			return
		default:
			r = r.WithContext(context.WithValue(r.Context(), ifMatchKey{}, want))
		}
		h := &held{header: w.Header()}
		next(h, r)
		h.WriteHeader(http.StatusOK)
		if h.status == http.StatusPreconditionFailed { // somebody came between
			if tag, _, _ := g.revisionOf(op, r); tag != "" {
				w.Header().Set("ETag", tag)
			}
		}
		w.WriteHeader(h.status)
		_, _ = w.Write(h.body.Bytes()) // the caller may have gone
	}
}

// revisionOf reads the ETag of what an operation is about to change; "" when it is not there.
func (g *guarded) revisionOf(op operation, r *http.Request) (tag string, revision int64, found bool) {
	body := g.look(op.object, r)
	if body == nil {
		return "", 0, false
	}
	revision, found = revisionIn(body)
	if whole := g.look(op.owner, r); !found && whole != nil {
		body = whole
		revision, found = revisionIn(body)
	}
	return etagOf(body), revision, found
}

func revisionIn(body []byte) (int64, bool) {
	var object struct{ Revision *int64 }
	if json.Unmarshal(body, &object) != nil || object.Revision == nil {
		return 0, false
	}
	return *object.Revision, true
}

// etagOf is the ETag of an answer.
func etagOf(body []byte) string {
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:6])
	if revision, ok := revisionIn(body); ok {
		return strconv.Quote(strconv.FormatInt(revision, 10) + "-" + hash)
	}
	return strconv.Quote(hash)
}

// tagged gives an answer its ETag, and answers 304 to a caller who has it already.
func (s *server) tagged(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		h := &held{header: w.Header()}
		next(h, r)
		h.WriteHeader(http.StatusOK)
		if h.status == http.StatusOK {
			if w.Header().Get("ETag") == "" {
				w.Header().Set("ETag", etagOf(h.body.Bytes()))
			}
			w.Header().Set("Cache-Control", "private, no-cache") // to be kept, and asked about each time
			w.Header().Add("Vary", "Authorization, Cookie, "+projectHeader)
			if matchesAny(r.Header.Get("If-None-Match"), w.Header().Get("ETag")) {
				w.Header().Del("Content-Type")
				w.WriteHeader(http.StatusNotModified)
				return
			}
		}
		w.WriteHeader(h.status)
		_, _ = w.Write(h.body.Bytes()) // the caller may have gone
	}
}

// matchesAny tells whether an If-None-Match lists tag; weak ones count.
func matchesAny(header, tag string) bool {
	if strings.TrimSpace(header) == "*" {
		return true
	}
	n := 0
	for one := range strings.SplitSeq(header, ",") {
		if n++; n > maxTags {
			return false
		}
		if strings.TrimPrefix(strings.TrimSpace(one), "W/") == tag {
			return true
		}
	}
	return false
}
