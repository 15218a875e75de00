package depot

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/hawser-iot/hawser/device-sdk/update"
	"github.com/hawser-iot/hawser/firmware/manifest"
	"github.com/hawser-iot/hawser/protocol/message"
)

// meter is a stock sub-device with two modules, of which it takes what is not bad.
type meter struct {
	t    *testing.T
	w    *ward
	bad  map[string]bool // "radio 2.0"
	told []string        // what it was offered
}

func newMeter(t *testing.T) *meter {
	m := &meter{t: t, bad: map[string]bool{}}
	m.w = newTestWard(t, m.take, Module{Name: "default"}, Module{Name: "radio"})
	return m
}

// take is an offer: the meter says what it takes in its own time, and what its other module runs before.
func (m *meter) take(payload []byte) {
	o, err := message.DecodeOTA[message.OTAStockOffer](payload)
	must(m.t, err)
	m.told = append(m.told, o.Module+" "+o.Version)
	m.say(message.OTAReportVersion, map[string]string{"default": "radio", "radio": "default"}[o.Module], o.Version)
	if m.bad[o.Module+" "+o.Version] {
		m.say(message.OTAReportFail, o.Module, "")
		return
	}
	m.say(message.OTAReportSuccess, o.Module, o.Version)
}

func (m *meter) say(method, module, version string) {
	b, err := json.Marshal(map[string]any{"Method": method, "Payload": map[string]any{"Module": module, "Version": version, "ErrCode": -5}})
	must(m.t, err)
	if !m.w.hear(b) {
		m.t.Errorf("%s was passed on", b)
	}
}

// arm stages images of a version for modules, and arms them.
func (m *meter) arm(version string, modules ...string) {
	m.t.Helper()
	var r update.Release
	for _, name := range modules {
		image := []byte("image of " + name + " " + version)
		f, err := m.w.shelf.Target(name, int64(len(image)))
		must(m.t, err)
		_, err = f.WriteAt(image, 0)
		must(m.t, err)
		must(m.t, f.Close())
		r.Images = append(r.Images, update.Image{Module: name, Version: version, Payload: manifest.Payload{Digest: sha256.Sum256(image), Size: uint64(len(image))}})
	}
	must(m.t, m.w.shelf.Arm(m.t.Context(), r))
	m.told = nil
}

// runs hands over what is armed, as a ward does.
func (m *meter) runs(want bool, told ...string) {
	m.t.Helper()
	m.w.attach(true) // another connection: it was offered the last one in this
	took, err := m.w.hand(m.t.Context())
	if err != nil || took != want || !slices.Equal(m.told, told) {
		m.t.Fatalf("took %v, %v after %q; want %v after %q", took, err, m.told, want, told)
	}
	must(m.t, m.w.shelf.judge(took))
	if took {
		must(m.t, m.w.shelf.Confirm(m.t.Context()))
	}
}

// TestSeveralImages: the images of a release are handed over one after the other; when one is not taken, those before it are taken back.
func TestSeveralImages(t *testing.T) {
	m := newMeter(t)
	m.arm("2.0", "default", "radio")
	m.runs(true, "default 2.0", "radio 2.0")
	m.arm("2.1", "radio") // the other one stays where it is the base of the next
	m.runs(true, "radio 2.1")
	if _, err := m.w.shelf.Base("default"); err != nil {
		t.Errorf("the image of the module that the release has left: %v", err)
	}
	m.bad["radio 3.0"] = true
	m.arm("3.0", "default", "radio")
	m.runs(false, "default 3.0", "radio 3.0", "default 2.0")
	if boot, err := m.w.shelf.Boot(t.Context()); err != nil || !boot.Confirmed || boot.Armed {
		t.Errorf("%+v, %v", boot, err)
	}
	m.arm("4.0", "default", "radio")
	m.bad["radio 4.0"], m.bad["default 2.0"] = true, true
	m.runs(false, "default 4.0", "radio 4.0", "default 2.0") // it can't be helped
}

// killed is a Store whose user is killed when it writes what the shelf has, before that or behind it.
type killed struct {
	update.Store
	before bool
}

func (k killed) Save(name string, record []byte) error {
	if name == shelfRecord && k.before {
		runtime.Goexit()
	}
	err := k.Store.Save(name, record)
	if name == shelfRecord {
		runtime.Goexit()
	}
	return err
}

// TestKilledWhileItConfirms: the image of a module that a release leaves as it is can be handed over again, wherever the agent was killed when the
// sub-device had taken the release.
func TestKilledWhileItConfirms(t *testing.T) {
	for _, before := range []bool{true, false} {
		m := newMeter(t)
		m.arm("2.0", "default", "radio")
		m.runs(true, "default 2.0", "radio 2.0")
		m.arm("2.1", "radio")
		m.w.attach(true)
		took, err := m.w.hand(t.Context())
		if err != nil || !took {
			t.Fatalf("took %v, %v", took, err)
		}
		must(t, m.w.shelf.judge(took))
		records := m.w.shelf.Store
		m.w.shelf.Store = killed{records, before}
		var dead sync.WaitGroup
		dead.Go(func() { _ = m.w.shelf.Confirm(t.Context()) })
		dead.Wait()
		m.w.shelf, err = openShelf(m.w.depot.room, m.w.shelf.id, records)
		must(t, err)
		must(t, m.w.shelf.Confirm(t.Context()))
		if _, err := m.w.shelf.Base("default"); err != nil {
			t.Errorf("killed before %v: the image that was left as it is: %v", before, err)
		}
		m.bad["radio 3.0"] = true
		m.arm("3.0", "default", "radio")
		m.runs(false, "default 3.0", "radio 3.0", "default 2.0")
	}
}

// TestHandoverIsInterrupted: the end of the agent is no word of the sub-device's. What it has taken is not handed over again.
func TestHandoverIsInterrupted(t *testing.T) {
	m := newMeter(t)
	m.arm("2.0", "default", "radio")
	ctx, stop := context.WithCancel(t.Context())
	m.w.depot.Serve(delivered(func(payload []byte) {
		m.take(payload)
		if len(m.told) == 1 {
			m.w.depot.Serve(delivered(func([]byte) { stop() }))
		}
	}))
	if took, err := m.w.hand(ctx); took || !errors.Is(err, errEnded) {
		t.Fatalf("took %v, %v", took, err)
	}
	if st := m.w.shelf.now(); st.Failed || st.Taken != 1 || !m.w.shelf.armed() || m.w.shelf.handed() != "radio 2.0" {
		t.Fatalf("%+v", st)
	}
	m.w.depot.Serve(delivered(m.take))
	m.runs(true, "default 2.0", "radio 2.0")
}

// TestNoModulesWord: a sub-device of several modules that names none means the default one, whatever it is handed.
func TestNoModulesWord(t *testing.T) {
	m := newMeter(t)
	m.arm("2.0", "radio")
	m.w.depot.Serve(delivered(func([]byte) {
		m.say(message.OTAReportVersion, "", "2.0") // of default
		m.say(message.OTAReportFail, "", "")       // of what is handed over
	}))
	if took, err := m.w.hand(t.Context()); took || err != nil {
		t.Errorf("took %v, %v", took, err)
	}
	if v := m.w.version["default"]; v != "2.0" {
		t.Errorf("it runs %q", v)
	}
}

// TestOtherModulesWord: that another module runs a version of the same name is no answer.
func TestOtherModulesWord(t *testing.T) {
	m := newMeter(t)
	m.arm("2.0", "radio")
	n := 0
	m.w.depot.Serve(delivered(func([]byte) {
		n++
		m.say(message.OTAReportVersion, "default", "2.0")
		m.say(message.OTAReportSuccess, "radio", "1.9")
	}))
	if took, err := m.w.hand(t.Context()); took || err != nil || n != 1 {
		t.Errorf("took %v, %v after %s", took, err, fmt.Sprint(n))
	}
}
