package mqttconform

import (
	"context"
	"flag"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/testbed/harness"
	"github.com/hawser-iot/hawser/testbed/mqttconform/owner"
)

const (
	user     = "somebody"
	password = "a-password"
)

// TestMain lets many checks wait at once: most of their time they wait for the other side.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "64"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// engine serves our engine with a plain broker as its owner over TCP and WebSocket until the test ends.
func engine(t *testing.T, cfg server.Config) Target {
	t.Helper()
	b := owner.New(cfg, user, password, slog.New(slog.DiscardHandler))
	tcp, ws := listen(t), listen(t)
	web := &http.Server{Handler: b.Server.WebSocket()}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- b.Server.Serve(ctx, tcp, "tcp") }()
	go func() { done <- web.Serve(ws) }()
	t.Cleanup(func() {
		cancel()
		_ = web.Close()
		if err := b.Server.Close(context.Background()); err != nil {
			t.Errorf("Close: %v", err)
		}
		<-done
		<-done
	})
	auth := &Auth{Method: owner.Method, User: user, Prove: func(challenge string) string { return string(owner.Proof(password, "client", []byte(challenge))) }}
	return Target{Name: "the engine", Addr: tcp.Addr().String(), WebSocket: "ws://" + ws.Addr().String(), User: user, Password: password, Auth: auth}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// mosquitto starts the peer with what Target promises.
func mosquitto(t *testing.T) Target {
	t.Helper()
	dir := t.TempDir()
	for d := dir; d != filepath.Clean(os.TempDir()); d = filepath.Dir(d) {
		must(t, os.Chmod(d, 0o755)) // mosquitto drops its privileges before it reads them
	}
	passwords, acl := filepath.Join(dir, "passwords"), filepath.Join(dir, "acl")
	if out, err := exec.Command("mosquitto_passwd", "-b", "-c", passwords, user, password).CombinedOutput(); err != nil {
		t.Fatalf("mosquitto_passwd: %v\n%s", err, out)
	}
	must(t, os.Chmod(passwords, 0o644))
	must(t, os.WriteFile(acl, []byte("topic readwrite #\ntopic readwrite $conform/#\ntopic deny denied/#\nuser "+user+"\ntopic readwrite #\n"), 0o644))
	m := harness.StartMosquitto(t, harness.MosquittoOptions{PasswordFile: passwords, Anonymous: true, ACLFile: acl, WebSocket: true})
	return Target{Name: "mosquitto", Addr: m.Addr, WebSocket: m.WebSocket, User: user, Password: password}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var versions = []string{"3.1.1", "5.0"}

// against is a target with what is known of it.
type against struct {
	target    Target
	webSocket bool
	known     map[string]string // why a statement does not hold
	firm      bool              // what is known is so: a statement that holds after all is an error
	only      func(Statement) bool
}

// judge runs the checks of both versions.
func judge(t *testing.T, a against) {
	for _, version := range versions {
		if _, all := a.known[version]; all {
			continue
		}
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			for _, s := range Statements(version) {
				if s.Checked() && (a.only == nil || a.only(s)) {
					t.Run(s.Number, func(t *testing.T) { t.Parallel(); a.judge(t, version, s) })
				}
			}
		})
	}
}

func (a against) judge(t *testing.T, version string, s Statement) {
	why, known := a.known[version+" "+s.Number]
	how := How{WebSocket: a.webSocket, Patience: time.Minute}
	if known {
		how.Patience = time.Second
	}
	wrong, leftOut := s.Judge(version, a.target, how)
	switch {
	case leftOut != "":
		t.Skip(leftOut)
	case known && wrong != "":
		t.Logf("known: %s: %s", why, wrong)
	case known && a.firm:
		t.Errorf("[MQTT-%s] of %s holds: take it off the list of what %s lacks", s.Number, version, a.target.Name)
	case wrong != "":
		t.Errorf("[MQTT-%s] of %s: %s: %s", s.Number, version, s.What, wrong)
	}
}

func TestEngine(t *testing.T) {
	judge(t, against{target: engine(t, server.DefaultConfig()), known: missing, firm: true})
}

// TestEngineWebSocket runs the checks over WebSocket: those of CONNECT, PUBLISH and AUTH, all of them with HAWSER_TEST_LONG.
func TestEngineWebSocket(t *testing.T) {
	a := against{target: engine(t, server.DefaultConfig()), webSocket: true, known: missing}
	if os.Getenv("HAWSER_TEST_LONG") == "" {
		a.only = func(s Statement) bool {
			return strings.HasPrefix(s.Number, "3.3.") || strings.HasPrefix(s.Number, "3.1.") || s.NeedsMethod() || s.Number == "4.12.0-4"
		}
	}
	judge(t, a)
}

func TestMosquitto(t *testing.T) {
	judge(t, against{target: mosquitto(t), known: deviations, firm: mosquittoVersion() == "2.0.11"})
}

// mosquittoVersion is what the broker says of itself: its list of deviations is that of one version.
func mosquittoVersion() string {
	for _, bin := range []string{"mosquitto", "/usr/sbin/mosquitto"} {
		out, _ := exec.Command(bin, "-h").Output()
		if f := strings.Fields(string(out)); len(f) > 2 {
			return f[2]
		}
	}
	return ""
}
