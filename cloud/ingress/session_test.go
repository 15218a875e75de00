package ingress

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/hawser-iot/hawser/cloud/registry"
)

// fakeSessions answer with what they are told.
type fakeSessions struct {
	err  error
	got  string
	next int64
}

func (f *fakeSessions) Call(context.Context, *registry.Device, []byte) []byte { return []byte(`{}`) }

func (f *fakeSessions) PutPart(_ context.Context, word string, _ int64, data io.Reader) error {
	b, err := io.ReadAll(data)
	f.got = word + " " + string(b)
	return errors.Join(f.err, err)
}

func (f *fakeSessions) Offset(context.Context, string) (int64, int64, error) { return 5, 9, f.err }

func (f *fakeSessions) Patch(_ context.Context, word string, _ int64, _ [32]byte, data io.Reader) (int64, error) {
	b, err := io.ReadAll(data)
	f.got = word + " " + string(b)
	return f.next, errors.Join(f.err, err)
}

func (f *fakeSessions) Drop(context.Context, string) error { return f.err }

// TestSessionStatus: each error has its status, and tus what it must have.
func TestSessionStatus(t *testing.T) {
	sum := "sha256 " + base64.StdEncoding.EncodeToString(make([]byte, 32))
	tus := map[string]string{"Tus-Resumable": "1.0.0", "Content-Type": tusContentType, "Upload-Offset": "0", "Upload-Checksum": sum}
	without := func(name, value string) map[string]string {
		h := map[string]string{}
		for k, v := range tus {
			h[k] = v
		}
		h[name] = value
		return h
	}
	for name, tt := range map[string]struct {
		method, path string
		header       map[string]string
		err          error
		want         int
		answer       string // header: value
	}{
		"part":            {"PUT", partPath + "w", nil, nil, 200, ""},
		"part expired":    {"PUT", partPath + "w", nil, ErrSessionLink, 403, ""},
		"part gone":       {"PUT", partPath + "w", nil, ErrSessionGone, 410, ""},
		"part checksum":   {"PUT", partPath + "w", nil, ErrSessionChecksum, 460, ""},
		"part size":       {"PUT", partPath + "w", nil, ErrSessionSize, 400, ""},
		"part fault":      {"PUT", partPath + "w", nil, errors.New("disk"), 502, ""},
		"part by GET":     {"GET", partPath + "w", nil, nil, 404, ""},
		"options":         {"OPTIONS", relayPath + "w", nil, nil, 204, "Tus-Extension: checksum,termination"},
		"head":            {"HEAD", relayPath + "w", tus, nil, 200, "Upload-Offset: 5"},
		"head gone":       {"HEAD", relayPath + "w", tus, ErrSessionGone, 410, ""},
		"patch":           {"PATCH", relayPath + "w", tus, nil, 204, "Upload-Offset: 7"},
		"patch elsewhere": {"PATCH", relayPath + "w", tus, ErrSessionOffset, 409, "Upload-Offset: 7"},
		"patch checksum":  {"PATCH", relayPath + "w", tus, ErrSessionChecksum, 460, ""},
		"other tus":       {"PATCH", relayPath + "w", without("Tus-Resumable", "0.2.2"), nil, 412, "Tus-Version: 1.0.0"},
		"other type":      {"PATCH", relayPath + "w", without("Content-Type", "text/plain"), nil, 415, ""},
		"no offset":       {"PATCH", relayPath + "w", without("Upload-Offset", ""), nil, 400, ""},
		"bad offset":      {"PATCH", relayPath + "w", without("Upload-Offset", "-1"), nil, 400, ""},
		"no checksum":     {"PATCH", relayPath + "w", without("Upload-Checksum", ""), nil, 400, ""},
		"other checksum":  {"PATCH", relayPath + "w", without("Upload-Checksum", "sha1 AAAA"), nil, 400, ""},
		"delete":          {"DELETE", relayPath + "w", tus, nil, 204, ""},
		"post":            {"POST", relayPath + "w", tus, nil, 405, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fakeSessions{err: tt.err, next: 7}
			in := New(DefaultConfig(), Deps{Sessions: f, Log: slog.New(slog.DiscardHandler)})
			r := httptest.NewRequest(tt.method, tt.path, strings.NewReader("body"))
			for k, v := range tt.header {
				r.Header.Set(k, v)
			}
			w := httptest.NewRecorder()
			if !Takes(r) {
				t.Error("not this door's")
			}
			in.ServeHTTP(w, r)
			k, v, _ := strings.Cut(tt.answer, ": ")
			if w.Code != tt.want || w.Header().Get(k) != v {
				t.Errorf("status %d, %s %q; want %d, %q", w.Code, k, w.Header().Get(k), tt.want, v)
			}
			if (tt.want == 200 || tt.want == 204) && (tt.method == "PUT" || tt.method == "PATCH") && f.got != "w body" {
				t.Errorf("got %q", f.got)
			}
		})
	}
}

func FuzzParsePatch(f *testing.F) {
	f.Add("0", "sha256 "+base64.StdEncoding.EncodeToString(make([]byte, 32)))
	f.Fuzz(func(t *testing.T, offset, sum string) {
		h := http.Header{"Upload-Offset": {offset}, "Upload-Checksum": {sum}}
		at, digest, ok := parsePatch(h)
		if ok && (at < 0 || "sha256 "+base64.StdEncoding.EncodeToString(digest[:]) != sum) {
			t.Errorf("%q, %q: %d, %x", offset, sum, at, digest)
		}
	})
}
