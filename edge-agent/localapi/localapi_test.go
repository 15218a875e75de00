package localapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/hawser-iot/hawser/edge-agent/localapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func serve(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "agent.sock")
	s, err := localapi.Listen(path, map[string]localapi.Handler{
		"double": func(_ context.Context, args json.RawMessage) (any, error) {
			var n int
			err := json.Unmarshal(args, &n)
			return 2 * n, err
		},
		"fail": func(context.Context, json.RawMessage) (any, error) { return nil, errors.New("no") },
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return path
}

func TestCall(t *testing.T) {
	path := serve(t)
	ctx := t.Context()
	var n int
	if err := localapi.Call(ctx, path, "double", 21, &n); err != nil || n != 42 {
		t.Errorf("double: %d, %v", n, err)
	}
	for command, want := range map[string]string{"fail": "no", "fly": "does not know"} {
		if err := localapi.Call(ctx, path, command, nil, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q in it", command, err, want)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestCallNobody(t *testing.T) {
	dir := t.TempDir()
	left := filepath.Join(dir, "left")
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: left})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	ln.Close()
	for _, path := range []string{left, filepath.Join(dir, "absent")} {
		if err := localapi.Call(t.Context(), path, "x", nil, nil); !errors.Is(err, localapi.ErrNotRunning) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestPathThatIsTooLong(t *testing.T) {
	path := filepath.Join(t.TempDir(), strings.Repeat("x", 100))
	if _, err := localapi.Listen(path, nil, slog.New(slog.DiscardHandler)); !errors.Is(err, localapi.ErrPath) {
		t.Errorf("error %v", err)
	}
}

func TestRubbish(t *testing.T) {
	path := serve(t)
	for _, text := range []string{"\n", "{}\n", "no\n", strings.Repeat("x", 410<<10) + "\n"} {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write([]byte(text)) // one that is too long is cut off
		b := make([]byte, 200)
		if n, _ := c.Read(b); n > 0 && !strings.Contains(string(b[:n]), "error") {
			t.Errorf("%.20q: %s", text, b[:n])
		}
		c.Close()
	}
}
