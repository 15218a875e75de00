package agent

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/hawser-iot/hawser/edge-agent/conf"
	"github.com/hawser-iot/hawser/edge-agent/trial"
	"github.com/hawser-iot/hawser/firmware/signing"
	"github.com/hawser-iot/hawser/protocol/agentmsg"
)

// RemoteConfig says whose configuration the agent takes from afar. Without the section it takes none.
type RemoteConfig struct {
	// Keys are public keys (Ed25519, 64 hex digits), any of which signs: those of the hub, see `hawserctl agent config key`.
	Keys []string `yaml:"keys"`
	// Trial is how long an agent with a new configuration may take until it has been connected to the hub for a fifth of it.
	Trial Duration `yaml:"trial"`
}

// fill sets what a section need not say.
func (r *RemoteConfig) fill() {
	if r.Trial == 0 {
		r.Trial = Duration(2 * time.Minute)
	}
}

// trusted are the keys.
func (r *RemoteConfig) trusted() (list []signing.PublicKey, err error) {
	if len(r.Keys) == 0 || len(r.Keys) > signing.MaxKeys {
		return nil, fmt.Errorf("remote_config.keys: %d, want 1 to %d", len(r.Keys), signing.MaxKeys)
	}
	for i, text := range r.Keys {
		b, err := hex.DecodeString(text)
		if err != nil || len(b) != len(signing.PublicKey{}) {
			return nil, fmt.Errorf("remote_config.keys[%d]: want 64 hex digits", i)
		}
		list = append(list, signing.PublicKey(b))
	}
	if r.Trial < Duration(time.Second) || r.Trial > Duration(24*time.Hour) {
		return nil, fmt.Errorf("remote_config.trial: %s is outside 1s..24h", time.Duration(r.Trial))
	}
	return list, nil
}

// What of a file is the gateway's own, and in no document of the hub: who it is, what it keeps, whom it trusts and what it runs for firmware. Of the
// other list it keeps what a document does not have: the way to the hub.
var (
	ownKeys = []string{"product", "device", "device_file", "secret", "secret_file", "register", "data", "firmware", "subdevice_firmware", "remote_config"}
	wayKeys = []string{"hub", "hub_fallback", "proxy", "tls"}
)

// Why a configuration is refused or was taken back, for programs.
const (
	refusedOff       = "off"        // the agent takes none from afar
	refusedSignature = "signature"  // nobody that it trusts has signed it
	refusedDevice    = "device"     // it is another device's
	refusedExpired   = "expired"    // its time is over
	refusedReplay    = "replay"     // one that is as new was offered before
	refusedBusy      = "busy"       // another is on trial
	refusedKey       = "key"        // it has a key that is the gateway's own, or a command that the gateway does not run
	refusedInvalid   = "invalid"    // the agent cannot work with it
	refusedDisk      = "disk"       // it could not be kept
	backUnhealthy    = "taken_back" // the agent did not prove itself with it
)

// refusal is why a configuration is not taken.
type refusal struct {
	reason string
	err    error
}

func (r *refusal) Error() string { return r.reason + ": " + r.err.Error() }

// remoteRecord is FILE.remote: what is known of configurations of the hub.
type remoteRecord struct {
	agentmsg.ConfigState
	Seen uint64 `json:"seen"` // the highest counter
	// Sum is of the file that Version stands for: another file is none of the hub's. Next is that of the one on trial.
	Sum  string `json:"sum,omitempty"`
	Next string `json:"next,omitempty"`
}

// remote takes configurations from the hub: it verifies them, puts them on trial, and tells what became of them.
//
// Beside FILE lies FILE.remote. The counter of an offer is there before anything else happens because of it, so that none is taken twice; what became
// of a trial is read from trial's own files at the next start, wherever the power was cut.
type remote struct {
	cfg     *Config
	path    string // of the configuration file, "" when there is none
	now     func() time.Time
	say     func(agentmsg.Message)
	restart func()
	log     *slog.Logger

	// mu guards the fields below, and the files.
	mu   sync.Mutex
	kept remoteRecord
}

// open reads what is known; running tells whether a trial is going on. What cannot be read is begun anew: counters are not less than the time at which
// they were given, so that the present one stands for all that were seen.
func (r *remote) open(path string, running bool) {
	if r.path = path; path == "" {
		return
	}
	b, err := os.ReadFile(path + ".remote")
	if err == nil {
		err = json.Unmarshal(b, &r.kept)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.log.Error("what was known of the hub's configurations is lost", "err", err)
		r.kept = remoteRecord{Seen: uint64(r.now().Unix())}
	}
	if err := r.settle(running); err != nil {
		r.log.Error("what became of a configuration is not kept", "err", err)
	}
}

// settle notes how a trial has ended; while one is running it does nothing.
func (r *remote) settle(running bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := &r.kept
	if k.State != agentmsg.ConfigTrial || running {
		return nil
	}
	o, ok, err := trial.Last(r.path)
	switch {
	case err != nil:
		return err
	case ok && o.Of == k.Next && o.Applied:
		k.State, k.Version, k.Sum = agentmsg.ConfigApplied, k.Offered, k.Next
	case ok && o.Of == k.Next:
		k.State, k.Reason, k.Detail = agentmsg.ConfigBack, backUnhealthy, clip(o.Why)
	default: // the power was cut before it began
		k.State, k.Reason, k.Detail = agentmsg.ConfigBack, backUnhealthy, "it was interrupted before it was in force"
	}
	k.Next = ""
	r.log.Info("a configuration of the hub's", "version", k.Offered, "state", k.State, "detail", k.Detail)
	return r.saveLocked()
}

func (r *remote) saveLocked() error {
	b, err := json.Marshal(r.kept)
	if err != nil {
		return err
	}
	return trial.Replace(r.path+".remote", b)
}

// state is what the hub is told.
func (r *remote) state() agentmsg.ConfigState {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.kept.ConfigState
	b, err := os.ReadFile(r.path)
	switch sum := trial.Sum(b); {
	case err == nil && s.State == agentmsg.ConfigTrial && sum == r.kept.Next:
		s.Version = s.Offered
	case err != nil || sum != r.kept.Sum:
		s.Version = "" // it was edited here
	}
	return s
}

// take takes what the hub offers, and tells it what becomes of it.
func (r *remote) take(signed []byte) {
	c, err := r.try(signed)
	var no *refusal
	if errors.As(err, &no) {
		r.log.Warn("a configuration of the hub's is refused", "reason", no.reason, "err", no.err)
		r.refuse(c, no)
	}
	r.say(&agentmsg.State{ConfigState: r.state()})
	if err == nil && r.state().State == agentmsg.ConfigTrial {
		r.restart()
	}
}

// refuse notes why an offer was not taken. What nobody trusted has signed leaves nothing behind but the answer.
func (r *remote) refuse(c *signing.Configuration, no *refusal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := &r.kept
	if k.State == agentmsg.ConfigTrial {
		return // that goes on, and its state is what matters
	}
	k.State, k.Reason, k.Detail, k.Offered, k.Counter = agentmsg.ConfigRefused, no.reason, clip(no.err.Error()), "", 0
	if c == nil {
		return
	}
	k.Offered, k.Counter = c.Version, c.Counter
	if r.path == "" {
		return
	}
	if err := r.saveLocked(); err != nil {
		r.log.Error("what became of a configuration is not kept", "err", err)
	}
}

// try verifies an offer and puts it on trial. Its errors are refusals.
func (r *remote) try(signed []byte) (*signing.Configuration, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cfg.Remote == nil || r.path == "" {
		return nil, &refusal{refusedOff, errors.New("the configuration has no section remote_config")}
	}
	keys, err := r.cfg.Remote.trusted()
	if err != nil {
		return nil, &refusal{refusedOff, err}
	}
	c, err := signing.VerifyConfiguration(signed, keys)
	if err != nil {
		return nil, &refusal{refusedSignature, err}
	}
	if no := r.judgeLocked(c); no != nil {
		return c, no
	}
	was := r.kept
	r.kept.Seen = c.Counter
	if err := r.saveLocked(); err != nil {
		r.kept = was
		return c, &refusal{refusedDisk, err}
	}
	if no := r.beginLocked(c); no != nil {
		return c, no
	}
	return c, nil
}

// judgeLocked tells whether an offer that is genuine is for this device and now.
func (r *remote) judgeLocked(c *signing.Configuration) error {
	now := r.now()
	switch own := r.cfg.own().ClientID(); {
	case c.Device != own:
		return &refusal{refusedDevice, fmt.Errorf("it is for %s", c.Device)}
	case c.Counter <= r.kept.Seen:
		return &refusal{refusedReplay, fmt.Errorf("its counter is %d, that of one before %d", c.Counter, r.kept.Seen)}
	case now.After(c.NotAfter):
		return &refusal{refusedExpired, fmt.Errorf("it was good until %s", c.NotAfter.Format(time.RFC3339))}
	case r.kept.State == agentmsg.ConfigTrial:
		return &refusal{refusedBusy, trial.ErrRunning}
	}
	return nil
}

// beginLocked puts a configuration into force on trial, or at once when it is what the file says already.
func (r *remote) beginLocked(c *signing.Configuration) error {
	old, err := os.ReadFile(r.path)
	if err != nil {
		return &refusal{refusedDisk, err}
	}
	next, no := r.cfg.merge(old, c)
	if no != nil {
		return no
	}
	was := r.kept
	k := &r.kept
	k.Offered, k.Counter, k.Reason, k.Detail = c.Version, c.Counter, "", ""
	if same := bytes.Equal(body(next), body(old)); same {
		k.State, k.Version, k.Sum, k.Next = agentmsg.ConfigApplied, c.Version, trial.Sum(old), ""
	} else {
		k.State, k.Next = agentmsg.ConfigTrial, trial.Sum(next)
	}
	if err = r.saveLocked(); err == nil && k.State == agentmsg.ConfigTrial {
		err = trial.Begin(r.path, next, time.Duration(r.cfg.Remote.Trial))
	}
	switch {
	case errors.Is(err, trial.ErrRunning): // one that was begun here
		r.kept = was
		return &refusal{refusedBusy, err}
	case err != nil:
		r.kept = was
		return &refusal{refusedDisk, err}
	case k.State == agentmsg.ConfigApplied:
		return nil
	}
	r.log.Info("a configuration of the hub's is on trial", "version", c.Version)
	return nil
}

// head begins a file that was put together here.
const head = "# Configuration of the hub's: "

// body is a file without that line.
func body(b []byte) []byte {
	if bytes.HasPrefix(b, []byte(head)) {
		_, b, _ = bytes.Cut(b, []byte("\n"))
	}
	return b
}

// merge is the file of a document: with what is the gateway's own of the file that is in force.
func (c *Config) merge(old []byte, offer *signing.Configuration) ([]byte, error) {
	own, err := conf.Sections(old)
	if err != nil {
		return nil, &refusal{refusedInvalid, fmt.Errorf("the file in force: %w", err)}
	}
	document, err := conf.Sections(offer.Document)
	if err != nil {
		return nil, &refusal{refusedInvalid, err}
	}
	has := make(map[string]bool)
	for _, s := range document {
		if has[s.Key] = true; slices.Contains(ownKeys, s.Key) {
			return nil, &refusal{refusedKey, fmt.Errorf("%s: is the gateway's own", s.Key)}
		}
	}
	next := fmt.Appendf(nil, "%s%q. Changes made here are lost with the next one.\n", head, offer.Version)
	for _, s := range own {
		if slices.Contains(ownKeys, s.Key) || slices.Contains(wayKeys, s.Key) && !has[s.Key] {
			next = append(next, s.Text...)
		}
	}
	for _, s := range document {
		next = append(next, s.Text...)
	}
	cfg, err := Parse(next)
	switch {
	case err != nil:
		return nil, &refusal{refusedInvalid, err}
	case cfg.own() != c.own() || cfg.Data != c.Data || cfg.Secret != c.Secret || !reflect.DeepEqual(cfg.Firmware, c.Firmware) || !reflect.DeepEqual(cfg.Remote, c.Remote):
		return nil, &refusal{refusedKey, errors.New("what is the gateway's own would not be the same")}
	}
	if err := errors.Join(cfg.trustsAs(c), cfg.Uploads.takesAs(c.Uploads)); err != nil {
		return nil, &refusal{refusedKey, err}
	}
	return next, nil
}

// clip shortens a text for people to what a message may hold.
func clip(s string) string {
	if len(s) > agentmsg.MaxDetail {
		s = s[:agentmsg.MaxDetail-4]
		for len(s) > 0 && s[len(s)-1]&0xc0 == 0x80 {
			s = s[:len(s)-1]
		}
		if n := len(s); n > 0 && s[n-1] >= 0xc0 {
			s = s[:n-1]
		}
		s += "…"
	}
	return s
}
