package scenario

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"

	"github.com/hawser-iot/hawser/cloud/keyring"
	"github.com/hawser-iot/hawser/cloud/ota/artifact"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/device-sdk/update"
	"github.com/hawser-iot/hawser/firmware/imagetest"
	"github.com/hawser-iot/hawser/firmware/signing"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/testbed/harness"
)

// forger stands between a device and its hub, and signs every assignment anew with a key that it has stolen.
type forger struct {
	update.Link
	t   *testing.T
	key signing.PrivateKey

	mu     sync.Mutex // guards the fields below
	at     bool       // it is at work
	forged int
}

func (f *forger) Receive(take func(ctx context.Context, payload []byte)) error {
	return f.Link.Receive(func(ctx context.Context, payload []byte) { take(ctx, f.forge(payload)) })
}

// forge is what the device gets in the place of a message of the hub's.
func (f *forger) forge(payload []byte) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	if method, err := message.OTAMethod(payload); !f.at || err != nil || method != message.OTAAssignment {
		return payload
	}
	said, err := message.DecodeOTA[message.OTABytes](payload)
	if err != nil {
		f.t.Error(err)
		return payload
	}
	a, _, err := signing.UnverifiedAssignment(said.Bytes)
	if err == nil {
		said.Bytes, err = a.Sign(f.key)
	}
	forged, encodeErr := message.EncodeOTA(codec.CBOR, message.OTAAssignment, said)
	if err != nil || encodeErr != nil {
		f.t.Error(err, encodeErr)
		return payload
	}
	f.forged++
	return forged
}

// work has the forger begin, or end; it returns how many it has forged since it was asked last.
func (f *forger) work(at bool) (forged int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	forged, f.at, f.forged = f.forged, at, 0
	return forged
}

// stealDirector reads the director key out of the store of a hub that does not run.
func stealDirector(t *testing.T, hub *harness.Hub) signing.PrivateKey {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	ring, err := keyring.Load(filepath.Join(hub.Data, "keyring"), "")
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), store.Config{Dir: hub.Data, Keyring: ring}, log, nil)
	if err != nil {
		t.Fatal(err)
	}
	k, err := artifact.New(artifact.DefaultConfig(), artifact.Deps{Store: db, Log: log}).ConfigKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return k
}

// TestDirectorRotatesSDK: the director key of a real hub is rotated, and the old one retired. A device with the SDK takes its next update in the same session; who
// has stolen the old key, and could bring it anything before, can bring it nothing any more.
func TestDirectorRotatesSDK(t *testing.T) {
	hub := harness.StartHub(t, harness.HubOptions{Args: []string{"--durability", "process"}})
	m := newMaker(t, hub, hub.Product(map[string]any{"name": "thermo"}))
	one := imagetest.Stream("thermo", 100_000)
	two, three := append([]byte("two"), one...), append([]byte("three"), one...)
	d := m.newThermo(one)
	d.agreed.Store(true)
	hub.Kill()
	thief := &forger{t: t, key: stealDirector(t, hub)}
	hub.Start()
	d.between = func(l update.Link) update.Link {
		thief.mu.Lock()
		defer thief.mu.Unlock()
		thief.Link = l
		return thief
	}
	d.begin()

	thief.work(true)
	if state, class := m.bring(m.release("2.0", "1", two), d.cfg.SN); state != "succeeded" || thief.work(false) == 0 {
		t.Fatalf("with the key that is trusted: %s %s", state, class)
	}
	d.holds("B", two)

	var keys []struct{ KeyID, RetiredAt string }
	m.parse(m.do("firmware", "director", "list", "-o", "json"), &keys)
	m.do("firmware", "director", "rotate", "--out", "hub-2.pub")
	m.do("firmware", "root", "rotate", "root.1", "--out", "root.2", "--director-key", "hub-2.pub", "--key", "root.pem")
	m.do("firmware", "trust", "set", m.product, "root.2")
	m.do("firmware", "director", "retire", keys[0].KeyID)

	id := m.release("3.0", "2", three)
	thief.work(true)
	if state, class := m.bring(id, d.cfg.SN); state != "failed" || class != "SIG" || thief.work(false) == 0 {
		t.Errorf("with the retired key: %s %s", state, class)
	}
	d.holds("B", two)
	if state, class := m.bring(id, d.cfg.SN); state != "succeeded" {
		t.Errorf("with the hub's key: %s %s", state, class)
	}
	d.holds("A", three)
	m.parse(m.do("firmware", "director", "list", "-o", "json"), &keys)
	if len(keys) != 2 || keys[0].RetiredAt != "" || keys[1].RetiredAt == "" {
		t.Errorf("the hub's keys: %+v", keys)
	}
}
