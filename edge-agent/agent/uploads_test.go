package agent_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/edge-agent/agent"
)

// TestKilledAgentSendsItsFiles kills the agent with SIGKILL while it sends a file, asked for over MQTT: the file arrives, with at most the part that was on its
// way sent again each time, and is deleted when the hub has it.
func TestKilledAgentSendsItsFiles(t *testing.T) {
	spool := t.TempDir()
	s := newSite(t, 0, fmt.Sprintf("uploads:\n  every: 1s\n  rules:\n    - {glob: %s/*, class: image, settle: 1s, after: delete}", spool))
	const part = 64 << 10
	s.hub.SetUploadPartSize(part)
	data := bytes.Repeat([]byte("0123456789abcdef"), 20_000) // five parts
	file := filepath.Join(spool, "a.jpg")
	must(t, os.WriteFile(file, data, 0o600))
	old := time.Now().Add(-time.Minute)
	must(t, os.Chtimes(file, old, old))
	kill := make(chan struct{}, 2)
	var n atomic.Int64
	s.hub.DisturbUploads(func(_ http.ResponseWriter, r *http.Request) bool {
		if i := n.Add(1); i != 2 && i != 4 {
			return false
		}
		_, _ = io.CopyN(io.Discard, r.Body, 10_000)
		kill <- struct{}{}
		_, _ = io.Copy(io.Discard, r.Body) // to its end, which is the agent's
		panic(http.ErrAbortHandler)
	})
	cmd := s.spawn(t)
	cfg, err := agent.Load(s.file)
	must(t, err)
	for i := range 2 {
		select {
		case <-kill:
		case <-deadline(t).Done():
			t.Fatal("nothing is sent")
		}
		// The first is killed in the second part, the second one a part later.
		st, err := agent.AskStatus(t.Context(), cfg)
		must(t, err)
		if f := st.Files; f == nil || f.Sending != file || f.Total != int64(len(data)) || f.Done != int64(i+1)*part || f.Waiting != 1 {
			t.Errorf("status %+v", f)
		}
		must(t, cmd.Process.Kill())
		_ = cmd.Wait()
		cmd = s.spawn(t)
	}
	for ctx := deadline(t); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(file); err != nil {
			break
		}
		if ctx.Err() != nil {
			t.Fatal("the file is still there")
		}
	}
	list := s.hub.Uploaded()
	if len(list) != 1 || !bytes.Equal(list[0].Data, data) || list[0].Device != s.gw || list[0].Class != "image" || list[0].Name != "a.jpg" {
		t.Fatalf("%d files arrived", len(list))
	}
	if got := s.hub.UploadBytes(); got != int64(len(data)) { // those of the parts that were cut are not counted by the hub
		t.Errorf("%d bytes came in whole requests, want %d", got, len(data))
	}
}

func TestUploadSections(t *testing.T) {
	const head = "hub: tcp://h:1\nproduct: 70ly1tvowt696r15\ndevice: gw-1\nsecret: 0123456789abcdef\nuploads:\n"
	for section, good := range map[string]bool{
		"  rules: [{glob: /a/*}]":                        true,
		"  window: 22:00-06:00\n  rules: [{glob: /a/*}]": true,
		"  rules: []":                                             false,
		"  rules: [{glob: a/*}]":                                  false,
		"  rules: [{glob: /a/*, compress: gzip}]":                 false,
		"  path: pigeon\n  rules: [{glob: /a/*}]":                 false,
		"  window: always\n  rules: [{glob: /a/*}]":               false,
		"  rules: [{glob: /a/*, after: move}]":                    false,
		"  rules: [{glob: /a/*, after: move, move_to: /b}]":       true,
		"  rules: [{glob: /a/*, aftr: move}]":                     false,
		"  rate: 1MiB\n  day: 2GiB\n  rules: [{glob: /a/b*/*.c}]": true,
	} {
		if _, err := agent.Parse([]byte(head + section)); (err == nil) != good {
			t.Errorf("%q: %v", section, err)
		}
	}
}
