package depot

import (
	"bytes"
	"context"
	"log/slog"
	"math"
	"path/filepath"
	"sync"
	"time"

	"github.com/hawser-iot/hawser/device-sdk/update"
	"github.com/hawser-iot/hawser/edge-agent/ota"
	"github.com/hawser-iot/hawser/firmware/manifest"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// ward is a sub-device that firmware is taken for.
type ward struct {
	depot                *Depot
	device               ident.Device
	secret               credential.Secret
	model                *Model
	log                  *slog.Logger
	upstream, downstream string
	shelf                *shelf
	said                 chan word // what the sub-device says while it is handed something; a full one costs the newest
	known                chan struct{}

	// mu guards the fields below.
	mu      sync.Mutex
	version map[string]string // by module, that the sub-device was shipped with or has said first
	visits  int               // connections of the sub-device to the gateway
	there   bool
	met     context.Context // of the present connection to the hub, attached; nil before the first
	leave   context.CancelFunc
	changed chan struct{} // closed and replaced when met is
	wire    *wire         // of the Updater, nil while there is none
	updater *update.Updater
	missed  [][]byte // what the hub has said meanwhile
}

// word is what a sub-device says of its firmware.
type word struct {
	method, module, version string
	code                    int
}

// maxMissed is how many messages of the hub's are kept for the next Updater; a hub says more only of what it says again.
const maxMissed = 8

// versionRecord is the name of the version that a sub-device has said first of a module.
func versionRecord(module string) string { return "version-" + module }

// maxHistory is how many steps of its updates are kept.
const maxHistory = 16

// forever is the trial of a sub-device, and often how often it may begin: what it has said it runs is not taken back when the hub is away for long, however often
// the gateway starts meanwhile.
const (
	forever = 10 * 365 * 24 * time.Hour
	often   = math.MaxInt32
)

func newWard(p *Depot, d ident.Device, secret credential.Secret, m *Model) (*ward, error) {
	files, err := update.OpenFiles(filepath.Join(p.cfg.Dir, "records", d.ClientID()))
	if err != nil {
		return nil, err
	}
	w := &ward{
		depot: p, device: d, secret: secret, model: m, log: p.log.With("product", d.Product, "device", d.SN),
		upstream: topic.System(d, topic.OTAUpstream), downstream: topic.System(d, topic.OTADownstream),
		said: make(chan word, 16), known: make(chan struct{}), changed: make(chan struct{}), version: make(map[string]string),
	}
	for _, o := range m.Modules {
		v := o.Version
		if v == "" {
			b, err := files.Load(versionRecord(o.Name))
			if err != nil {
				return nil, err
			}
			v = string(b)
		}
		if v != "" {
			w.version[o.Name] = v
		}
	}
	if len(w.version) == len(m.Modules) {
		close(w.known)
	}
	w.shelf, err = openShelf(p.room, d.ClientID(), ota.Observe(files, maxHistory, w.log))
	return w, err
}

// consent is update.Config.Consent.
func (w *ward) consent(_ context.Context, r update.Release) error {
	if !w.model.Consent && !r.Consent {
		return nil
	}
	return ota.Consented(w.shelf, r)
}

// run takes updates, one Updater after the other: each ends when something is to be handed over.
func (w *ward) run(ctx context.Context) {
	select {
	case <-w.known:
	case <-ctx.Done():
		return
	}
	for ctx.Err() == nil {
		if err := w.once(ctx); err != nil && ctx.Err() == nil {
			w.log.Error("firmware of a sub-device waits, it is tried again", "err", err)
			select {
			case <-time.After(w.depot.cfg.Poll):
			case <-ctx.Done():
			}
		}
	}
}

// once hands over what is to be handed over, and then has the engine at work until the next such moment.
func (w *ward) once(ctx context.Context) error {
	if w.shelf.armed() {
		took, err := w.hand(ctx)
		if err == nil {
			err = w.shelf.judge(took)
		}
		if err != nil || ctx.Err() != nil {
			return err
		}
	}
	up, l, err := w.engine()
	if err != nil {
		return err
	}
	inner, stop := context.WithCancel(ctx)
	defer stop()
	w.open(inner, l, up)
	ended := make(chan error, 1)
	go func() { ended <- up.Run(inner) }()
	select {
	case <-w.shelf.handing:
		stop()
		err = <-ended
	case err = <-ended:
	}
	w.mu.Lock()
	w.wire, w.updater = nil, nil
	w.mu.Unlock()
	l.close()
	return err
}

// engine is a new Updater and its connection.
func (w *ward) engine() (*update.Updater, *wire, error) {
	modules := make(map[string]update.Module)
	w.mu.Lock()
	for _, m := range w.model.Modules {
		modules[m.Name] = update.Module{Vendor: m.Vendor, Class: m.Class, Version: w.version[m.Name]}
	}
	w.mu.Unlock()
	l := &wire{w: w}
	c := w.depot.cfg
	up, err := update.New(update.Config{
		Device: w.device.ClientID(), Secret: w.secret, Modules: modules, Root: c.Root, AllowUnsigned: c.AllowUnsigned,
		Link: l, Store: w.shelf, Storage: w.shelf, Installer: w.shelf, Download: c.Download, Poll: c.Poll, TrialTimeout: forever, Trials: often, Consent: w.consent,
	}, w.log)
	return up, l, err
}

// open gives an Updater the connection that there is, and what it has missed.
func (w *ward) open(ctx context.Context, l *wire, up *update.Updater) {
	w.mu.Lock()
	w.wire, w.updater = l, up
	missed, met := w.missed, w.met
	w.missed = nil
	w.mu.Unlock()
	for _, b := range missed {
		l.hand(b)
	}
	if met != nil && met.Err() == nil {
		w.depot.handlers.Go(func() {
			both, stop := context.WithCancel(met)
			defer stop()
			defer context.AfterFunc(ctx, stop)()
			l.begun(both)
		})
	}
}

// attach notes whether the sub-device is there.
func (w *ward) attach(there bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.there = there; there {
		w.visits++
	}
	if w.leave != nil {
		w.leave()
		w.leave = nil
	}
}

// meet begins a connection to the hub, if the sub-device is attached and hub has not ended.
func (w *ward) meet(hub context.Context) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.there || hub == nil || hub.Err() != nil {
		return
	}
	if w.leave != nil {
		w.leave()
	}
	w.met, w.leave = context.WithCancel(hub)
	close(w.changed)
	w.changed = make(chan struct{})
	if met, l := w.met, w.wire; l != nil {
		w.depot.handlers.Go(func() { l.begun(met) })
	}
}

// receive takes what the hub says.
func (w *ward) receive(payload []byte) {
	w.mu.Lock()
	l := w.wire
	w.mu.Unlock()
	if l != nil && l.hand(payload) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.missed) == maxMissed {
		w.missed = w.missed[1:]
	}
	w.missed = append(w.missed, append([]byte{}, payload...))
}

// hear takes what the sub-device says; false is something that is not the gateway's affair.
func (w *ward) hear(payload []byte) bool {
	method, err := message.OTAMethod(payload)
	if err != nil && bytes.Contains(payload, []byte(`"`+message.OTAReportFail+`"`)) {
		method, err = message.OTAReportFail, nil // stock devices put whatever is in their memory into it
	}
	if err != nil {
		return false
	}
	said := word{method: method}
	switch method {
	case message.OTAReportVersion, message.OTARequestFirmware, message.OTAReportSuccess:
		v, err := message.DecodeOTA[message.OTAVersion](payload)
		if err != nil || manifest.CheckVersion(v.Version) != nil || v.Manifest {
			return false
		}
		said.module, said.version = v.Module, v.Version
	case message.OTAReportProgress:
	case message.OTAReportFail:
		if f, err := message.DecodeOTA[message.OTAStockFail](payload); err == nil {
			said.code = f.ErrCode
		}
	default:
		return false
	}
	if said.version != "" {
		m := w.model.module(said.module)
		if m == nil {
			return false
		}
		said.module = m.Name
		w.learn(m.Name, said.version)
	}
	select {
	case w.said <- said:
	default:
	}
	return true
}

// learn notes the first version of a module.
func (w *ward) learn(module, version string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.version[module] != "" {
		return
	}
	if err := w.shelf.Save(versionRecord(module), []byte(version)); err != nil {
		w.log.Error("the version of a sub-device can't be kept", "err", err)
		return
	}
	if w.version[module] = version; len(w.version) == len(w.model.Modules) {
		close(w.known)
	}
}
