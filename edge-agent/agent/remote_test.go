package agent

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/edge-agent/trial"
	"github.com/hawser-iot/hawser/firmware/signing"
	"github.com/hawser-iot/hawser/protocol/agentmsg"
)

const inForce = `# by hand
hub: tcp://192.0.2.1:1883
product: 70ly1tvowt696r15
device: gw-1
secret: 0123456789abcdef   # its own
data: /var/lib/x
keep_alive: 60s
remote_config:
  keys: [%s]
log: {level: warn}
`

// afar is an agent's file and a hub that signs.
type afar struct {
	t       *testing.T
	key     signing.PrivateKey
	path    string
	r       *remote
	said    []agentmsg.ConfigState
	restart int
	counter uint64
}

func newAfar(t *testing.T) *afar {
	t.Helper()
	key, err := signing.GenerateKey(nil)
	ok(t, err)
	f := &afar{t: t, key: key, path: filepath.Join(t.TempDir(), "agent.yaml"), counter: 100}
	public := key.Public()
	ok(t, os.WriteFile(f.path, fmt.Appendf(nil, inForce, hex.EncodeToString(public[:])), 0o600))
	f.start()
	return f
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// start is what a start of the agent does; it returns the trial that is on.
func (f *afar) start() *trial.Trial {
	f.t.Helper()
	tr, err := trial.Resume(f.path)
	ok(f.t, err)
	cfg, err := Load(f.path)
	ok(f.t, err)
	f.r = &remote{cfg: &cfg, now: time.Now, log: slog.New(slog.DiscardHandler), restart: func() { f.restart++ }, say: func(m agentmsg.Message) {
		f.said = append(f.said, m.(*agentmsg.State).ConfigState)
	}}
	f.r.open(f.path, tr != nil)
	return tr
}

// offer has a document offered as the next counter; change may spoil it before it is signed.
func (f *afar) offer(document string, change func(*signing.Configuration)) agentmsg.ConfigState {
	f.t.Helper()
	f.counter++
	c := &signing.Configuration{Device: "70ly1tvowt696r15.gw-1", Version: fmt.Sprint("device/", f.counter), Counter: f.counter,
		Issued: time.Now(), NotAfter: time.Now().Add(time.Hour), Document: []byte(document)}
	if change != nil {
		change(c)
	}
	b, err := c.Sign(f.key)
	ok(f.t, err)
	return f.take(b)
}

func (f *afar) take(b []byte) agentmsg.ConfigState {
	f.t.Helper()
	n := len(f.said)
	f.r.take(b)
	if len(f.said) != n+1 {
		f.t.Fatalf("it said %d things of an offer", len(f.said)-n)
	}
	return f.said[n]
}

func (f *afar) file() string {
	f.t.Helper()
	b, err := os.ReadFile(f.path)
	ok(f.t, err)
	return string(b)
}

func (f *afar) is(got agentmsg.ConfigState, state, version, reason string) {
	f.t.Helper()
	if got.State != state || got.Version != version || got.Reason != reason {
		f.t.Errorf("state %+v, want %s of %q (%s)", got, state, version, reason)
	}
}

// prove ends the trial well.
func (f *afar) prove(tr *trial.Trial) {
	f.t.Helper()
	if tr == nil {
		f.t.Fatal("nothing is on trial")
	}
	ok(f.t, tr.Watch(f.t.Context(), func() bool { return true }))
	ok(f.t, f.r.settle(false))
}

const better = "log: {level: debug}\nkeep_alive: 90s\nremark: x\n"

var good = strings.ReplaceAll(better, "remark: x\n", "")

func TestConfigurationFromAfar(t *testing.T) {
	f := newAfar(t)
	f.is(f.r.state(), "", "", "")
	was := f.file()
	f.is(f.offer(good, nil), agentmsg.ConfigTrial, "device/101", "")
	if f.restart != 1 {
		t.Errorf("started anew %d times", f.restart)
	}
	f.is(f.offer(good, nil), agentmsg.ConfigTrial, "device/101", "") // another meanwhile changes nothing
	tr := f.start()
	cfg := f.r.cfg
	if cfg.Log.Level != "debug" || cfg.KeepAlive != Duration(90*time.Second) || cfg.Hub != "tcp://192.0.2.1:1883" || cfg.Secret != "0123456789abcdef" {
		t.Errorf("in force is\n%s", f.file())
	}
	f.is(f.r.state(), agentmsg.ConfigTrial, "device/101", "")
	ok(t, tr.TakeBack("the test says so"))
	if f.start() != nil || f.file() != was {
		t.Errorf("what comes back is\n%s", f.file())
	}
	f.is(f.r.state(), agentmsg.ConfigBack, "", backUnhealthy)
	if s := f.r.state(); s.Detail != "the test says so" || s.Offered != "device/101" {
		t.Errorf("state %+v", s)
	}
}

func TestConfigurationFromAfarProvesItself(t *testing.T) {
	f := newAfar(t)
	text := strings.Replace(f.file(), "remote_config:\n", "remote_config:\n  trial: 1s\n", 1)
	ok(t, os.WriteFile(f.path, []byte(text), 0o600))
	f.start()
	f.offer(good, nil)
	f.prove(f.start())
	f.is(f.r.state(), agentmsg.ConfigApplied, "device/101", "")
	f.start()
	f.is(f.r.state(), agentmsg.ConfigApplied, "device/101", "")
	n := f.restart
	f.is(f.offer(good, nil), agentmsg.ConfigApplied, "device/102", "") // the same needs no trial
	if f.restart != n || f.start() != nil {
		t.Error("the same configuration was put on trial")
	}
	ok(t, os.WriteFile(f.path, []byte(f.file()+"listen: 127.0.0.1:9\n"), 0o600))
	f.is(f.r.state(), agentmsg.ConfigApplied, "", "") // it is not the hub's any more
	// The way to the hub may be changed, on trial.
	f.is(f.offer("hub: tcp://192.0.2.9:1\n", nil), agentmsg.ConfigTrial, "device/103", "")
	tr := f.start()
	if f.r.cfg.Hub != "tcp://192.0.2.9:1" || tr == nil {
		t.Errorf("hub %s, trial %v", f.r.cfg.Hub, tr)
	}
}

func TestConfigurationsThatAreRefused(t *testing.T) {
	other, err := signing.GenerateKey(nil)
	ok(t, err)
	f := newAfar(t)
	was := f.file()
	for _, tt := range []struct {
		about, document string
		change          func(*signing.Configuration)
		reason          string
	}{
		{"of another device", good, func(c *signing.Configuration) { c.Device = "70ly1tvowt696r15.gw-2" }, refusedDevice},
		{"of another product", good, func(c *signing.Configuration) { c.Device = "80ly1tvowt696r15.gw-1" }, refusedDevice},
		{"too late", good, func(c *signing.Configuration) {
			c.Issued, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Minute)
		}, refusedExpired},
		{"an unknown key", better, nil, refusedInvalid},
		{"no YAML", "a: [", nil, refusedInvalid},
		{"a list", "- a", nil, refusedInvalid},
		{"braces around all", "{log: {level: debug}}", nil, refusedInvalid},
		{"another identity", good + "device: gw-2\n", nil, refusedKey},
		{"another secret", good + "\"secret\": abc\n", nil, refusedKey},
		{"another data folder", good + "data: /x\n", nil, refusedKey},
		{"other keys", good + "remote_config: {keys: []}\n", nil, refusedKey},
		{"firmware", good + "firmware: {allow_unsigned: true}\n", nil, refusedKey},
		{"a driver", good + "drivers: [{name: x, command: [/bin/sh, -c, reboot]}]\n", nil, map[string]string{"core": refusedInvalid, "gateway": refusedKey}[Variant]},
		{"files that are put where they run", good + "uploads: {rules: [{glob: /tmp/x*, after: move, move_to: /etc/cron.d}]}\n", nil, refusedKey},
		{"files that are deleted", good + "uploads: {rules: [{glob: /boot/*, after: delete}]}\n", nil, refusedKey},
	} {
		s := f.offer(tt.document, tt.change)
		if s.State != agentmsg.ConfigRefused || s.Reason != tt.reason || s.Detail == "" || s.Counter != f.counter {
			t.Errorf("%s: %+v, want %s", tt.about, s, tt.reason)
		}
	}
	c := &signing.Configuration{Device: "70ly1tvowt696r15.gw-1", Version: "v", Counter: f.counter, Issued: time.Now(), NotAfter: time.Now().Add(time.Hour), Document: []byte(good)}
	signed, err := c.Sign(f.key)
	ok(t, err)
	if s := f.take(signed); s.Reason != refusedReplay {
		t.Errorf("a counter that was seen: %+v", s)
	}
	f.start()
	if s := f.take(signed); s.Reason != refusedReplay {
		t.Errorf("a counter that was seen before the start: %+v", s)
	}
	c.Counter += 10
	signed, err = c.Sign(other)
	ok(t, err)
	if s := f.take(signed); s.Reason != refusedSignature || s.Offered != "" {
		t.Errorf("signed by another hub: %+v", s)
	}
	if signed, err = c.Sign(f.key); err != nil {
		t.Fatal(err)
	}
	signed[len(signed)/2] ^= 1
	if s := f.take(signed); s.Reason != refusedSignature {
		t.Errorf("a bit is other: %+v", s)
	}
	if f.file() != was || f.restart != 0 || f.start() != nil {
		t.Error("something was changed")
	}
	f.r.cfg.Remote = nil
	if s := f.offer(good, nil); s.Reason != refusedOff {
		t.Errorf("without remote_config: %+v", s)
	}
}

// TestPowerCutsInAnOffer: the power is cut behind each of the writes that an offer makes.
func TestPowerCutsInAnOffer(t *testing.T) {
	writes := []string{".remote", ".before", ".trial", ""}
	for n := range len(writes) + 1 {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			f := newAfar(t)
			was := f.file()
			before := f.snapshot()
			f.offer(good, nil)
			after := f.snapshot()
			for i, name := range writes { // what came behind the cut did not happen
				if i >= n {
					f.put(name, before, after)
				}
			}
			tr := f.start()
			switch s := f.r.state(); {
			case n == len(writes):
				f.is(s, agentmsg.ConfigTrial, "device/101", "")
			case n == 0:
				f.is(s, "", "", "")
			default:
				f.is(s, agentmsg.ConfigBack, "", backUnhealthy)
			}
			if (tr != nil) != (n == len(writes)) || tr == nil && f.file() != was {
				t.Errorf("trial %v, in force is\n%s", tr, f.file())
			}
			if n > 0 {
				f.counter--
				if s := f.offer(good, nil); tr == nil && s.Reason != refusedReplay {
					t.Errorf("the same once more: %+v", s)
				}
			}
			if tr == nil {
				f.is(f.offer(good, nil), agentmsg.ConfigTrial, fmt.Sprint("device/", f.counter), "")
			}
		})
	}
}

// TestCutWhileTheCounterIsKept: an offer that the cut came behind the first write of is refused when it comes again.
func TestCutWhileTheCounterIsKept(t *testing.T) {
	f := newAfar(t)
	f.r.kept.Seen = 200
	f.r.mu.Lock()
	ok(t, f.r.saveLocked())
	f.r.mu.Unlock()
	f.start()
	if s := f.offer(good, nil); s.Reason != refusedReplay {
		t.Errorf("state %+v", s)
	}
	ok(t, os.WriteFile(f.path+".remote", []byte("{"), 0o600))
	f.start()
	if s := f.offer(good, func(c *signing.Configuration) { c.Counter = uint64(time.Now().Unix()) - 10 }); s.Reason != refusedReplay {
		t.Errorf("after the loss of what was known: %+v", s)
	}
	f.is(f.offer(good, func(c *signing.Configuration) { c.Counter = uint64(time.Now().Unix()) + 100 }), agentmsg.ConfigTrial, fmt.Sprint("device/", f.counter), "")
}

func (f *afar) snapshot() map[string]string {
	f.t.Helper()
	m := map[string]string{}
	for _, name := range []string{"", ".remote", ".before", ".trial"} {
		b, err := os.ReadFile(f.path + name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		ok(f.t, err)
		m[name] = string(b)
	}
	return m
}

// put brings a file back to what it was.
func (f *afar) put(name string, before, after map[string]string) {
	f.t.Helper()
	if !slices.Contains(slices.Collect(maps.Keys(after)), name) {
		f.t.Fatalf("%q was not written", name)
	}
	text, there := before[name]
	if !there {
		ok(f.t, os.Remove(f.path+name))
		return
	}
	ok(f.t, os.WriteFile(f.path+name, []byte(text), 0o600))
}
