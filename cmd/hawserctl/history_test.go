package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A part of the answer that is not there is told, beside what is.
func TestNodesThatDoNotAnswer(t *testing.T) {
	hub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/products/p/devices/lamp-1/properties/t/history" {
			t.Errorf("asked for %s", r.URL.Path)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"items":[{"identifier":"t","time":"2026-11-27T12:00:00Z","value":21.5}],"missingNodes":["n2","n3"]}`)
	}))
	defer hub.Close()
	t.Setenv("HAWSERCTL_CONFIG", t.TempDir()+"/config.yaml")
	var out, errOut bytes.Buffer
	root := newRoot(&cli{out: &out, errOut: &errOut, in: strings.NewReader("")})
	root.SetArgs([]string{"property", "history", "p", "lamp-1", "t", "--hub", hub.URL, "--api-key", "hwk_x"})
	if err := root.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := errOut.String(), "no answer from n2, n3: what they have is missing here\n"; got != want {
		t.Errorf("told %q, want %q", got, want)
	}
	if !strings.Contains(out.String(), "21.5") {
		t.Errorf("printed %q", out.String())
	}
}
