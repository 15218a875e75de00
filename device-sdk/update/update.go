package update

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hawser-iot/hawser/firmware/manifest"
	"github.com/hawser-iot/hawser/firmware/signing"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/message"
)

// Config is what an Updater works with. Fields up to Installer must be set, the others have defaults.
type Config struct {
	// Device is ProductSN.DeviceSN, Secret the device's secret, which attestations are made with.
	Device string
	Secret credential.Secret
	// Modules are the parts of the device that have a firmware of their own; "default" is the usual one.
	Modules map[string]Module
	// Root is the root document that the device was shipped with. Without one it takes no signed firmware, and needs AllowUnsigned.
	Root      []byte
	Link      Link
	Store     Store
	Storage   Storage
	Installer Installer

	// AllowUnsigned takes firmware that is offered with a URL and an MD5 only, as stock devices do: whoever has the hub, or stands
	// between, then decides what the device runs.
	AllowUnsigned bool
	// CBOR must be that of the connection.
	CBOR     bool
	Download Download
	// Consent is asked before an update begins, and again every Poll while it returns an error with the class CONSENT. Any other error
	// refuses the update. Nil agrees, but for updates that the hub wants the owner to agree to: they fail with CONSENT.
	Consent func(ctx context.Context, r Release) error
	// Power tells whether there is enough power to write, and to restart: an error while there is not. Nil is always.
	Power func(ctx context.Context) error
	// Healthy is asked on trial, again and again until it returns nil or TrialTimeout has passed. Nil is satisfied with a connection to the hub.
	Healthy func(ctx context.Context) error
	// TrialTimeout is how long a new release has to become healthy and connected; 10 min when zero. The watchdog of the device is for one
	// that hangs.
	TrialTimeout time.Duration
	// Trials is how often a release may be started on trial before it is given up; 5 when zero.
	Trials int
	// Poll is how often what is waited for is looked at; 1 min when zero.
	Poll time.Duration
	// AnswerTimeout is how long a hub that is connected has for an answer; 1 min when zero.
	AnswerTimeout time.Duration
	// WayBack keeps a record of what was confirmed in each slot, with up to 96 KiB of manifests, so that Rollback can leave a confirmed release. It is for
	// an Installer whose other slot stays as it is after Confirm.
	WayBack bool
	// Location is the device's time zone, for windows that name none; time.Local when nil.
	Location *time.Location
	// Now is the device's clock, which may be wrong; time.Now when nil.
	Now func() time.Time
}

// Updater takes updates of one device, one at a time.
type Updater struct {
	cfg     Config
	log     *slog.Logger
	format  codec.Format
	client  *http.Client
	mail    mailbox
	reports reports
	ready   chan struct{} // closed when announcement is known
	open    sync.Once     // closes it
	busy    atomic.Bool   // there is a plan
	shipped *signing.Root // nil without one

	// The fields below belong to Run's goroutine.
	ran      bool // Run was called
	trust    trust
	plan     *plan            // nil when there is no update
	release  *signing.Release // of the plan, once it is verified in this run
	asked    [][]byte         // nonces of this run, and the one that the last run has left
	before   uint64           // counter of the assignment that the last run took and perhaps did not come to: the hub delivers it again
	later    map[string]mail  // offers for other modules, by module
	step0    int64            // of the last report
	resumed  bool             // the plan is of an earlier run and nothing was done with it in this one
	permille int              // that was reported last
	planCtx  context.Context  // of the plan, as long as it can be called off; nil before its first step
	callOff  context.CancelCauseFunc

	// mu guards the fields below.
	mu       sync.Mutex
	announce []message.OTAVersion
}

// New checks cfg, loads what the device remembers and returns an Updater; Run works. Call it before the connection is made.
func New(cfg Config, log *slog.Logger) (*Updater, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cfg.fill()
	cfg.Modules = maps.Clone(cfg.Modules)
	u := &Updater{cfg: cfg, log: log, client: newClient(cfg.Download), ready: make(chan struct{}), later: map[string]mail{}}
	if cfg.CBOR {
		u.format = codec.CBOR
	}
	u.mail.init()
	u.reports.init(u)
	if cfg.Root != nil {
		var err error
		if u.shipped, err = signing.TrustRoot(cfg.Root); err != nil {
			return nil, fmt.Errorf("update: root document: %w", err)
		}
	}
	if err := u.load(); err != nil {
		return nil, err
	}
	if err := cfg.Link.Receive(u.receive); err != nil {
		return nil, err
	}
	cfg.Link.OnUp(u.up)
	return u, nil
}

func (c *Config) check() error {
	switch {
	case c.Device == "" || c.Secret == "":
		return errors.New("update: Device and Secret must be set")
	case c.Link == nil || c.Store == nil || c.Storage == nil || c.Installer == nil:
		return errors.New("update: Link, Store, Storage and Installer must be set")
	case len(c.Modules) == 0 || len(c.Modules) > manifest.MaxComponents:
		return fmt.Errorf("update: %d modules, want 1 to %d", len(c.Modules), manifest.MaxComponents)
	case c.Root == nil && !c.AllowUnsigned:
		return errors.New("update: without Root there is nothing to verify firmware with; set it, or AllowUnsigned")
	}
	for name, m := range c.Modules {
		if err := errors.Join(manifest.CheckModule(name), manifest.CheckVersion(m.Version)); err != nil {
			return fmt.Errorf("update: %w", err)
		}
		if c.Root != nil && (m.Vendor.IsZero() || m.Class.IsZero()) {
			return fmt.Errorf("update: module %s has no vendor or class", name)
		}
	}
	return nil
}

func (c *Config) fill() {
	c.Download.fill()
	for _, f := range []struct {
		v *time.Duration
		d time.Duration
	}{{&c.TrialTimeout, 10 * time.Minute}, {&c.Poll, time.Minute}, {&c.AnswerTimeout, time.Minute}} {
		if *f.v == 0 {
			*f.v = f.d
		}
	}
	if c.Trials == 0 {
		c.Trials = maxTrials
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Location == nil {
		c.Location = time.Local
	}
}

// load reads what the device remembers.
func (u *Updater) load() error {
	if err := u.loadTrust(u.shipped); err != nil {
		return err
	}
	return u.loadPlan()
}

// Run takes updates until ctx ends, or until Installer.Restart has begun and ctx ends; it then returns nil. It returns an error when the
// Store or the Installer fail in a way that leaves nothing to do but to start anew. That is what another call does: it goes by what is in the Store.
func (u *Updater) Run(ctx context.Context) error {
	inner, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	if u.ran {
		u.leavePlan()
		if err := u.load(); err != nil {
			return err
		}
		wg.Go(func() { u.up(inner) }) // the hub offers again what was lost
	}
	u.ran = true
	wg.Go(func() { u.reports.run(inner) })
	err := u.run(ctx)
	stop()
	wg.Wait()
	u.answerWish(context.Canceled)
	u.client.CloseIdleConnections()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (u *Updater) run(ctx context.Context) error {
	if err := u.begin(ctx); err != nil {
		return err
	}
	for ctx.Err() == nil {
		var err error
		if u.plan == nil {
			err = u.idle(ctx)
		} else {
			u.answerWish(ErrUnderWay)
			err = u.step(ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// begin finds what runs and tells the hub.
func (u *Updater) begin(ctx context.Context) error {
	boot, err := u.cfg.Installer.Boot(ctx)
	if err != nil {
		return fmt.Errorf("update: what was booted: %w", err)
	}
	u.log.Info("firmware", "slot", boot.Slot, "confirmed", boot.Confirmed, "update", u.phase().String())
	for _, name := range slices.Sorted(maps.Keys(u.cfg.Modules)) {
		if err := u.measure(ctx, name); err != nil {
			return err
		}
	}
	u.announceAgain()
	if u.plan != nil && u.plan.Phase >= accepted && u.plan.cancellable() && u.plan.State != "" {
		if err := u.tell(u.plan.State, 0, u.plan.class()); err != nil { // so that the hub does not offer it again
			return err
		}
	}
	u.open.Do(func() { close(u.ready) })
	return nil
}

// measure finds the digest of what runs of a module, if nobody knows it yet.
func (u *Updater) measure(ctx context.Context, module string) error {
	if u.running(module) != (manifest.Payload{}) || u.cfg.Root == nil && !u.cfg.WayBack {
		return nil
	}
	base, err := u.cfg.Storage.Base(module)
	if errors.Is(err, ErrNoBase) {
		return nil
	}
	if err == nil {
		defer base.Close() // it was only read
		var d manifest.Digest
		if d, err = digestOf(ctx, base, base.Size()); err == nil {
			m := u.cfg.Modules[module]
			m.Image = manifest.Payload{Digest: d, Size: uint64(base.Size())}
			u.cfg.Modules[module] = m
			return nil
		}
	}
	u.log.Warn("the running image can't be read: there will be no deltas", "module", module, "err", err)
	return nil
}

// running is the image that runs of a module, zero if it is not known.
func (u *Updater) running(module string) manifest.Payload {
	if i, ok := u.trust.installed[module]; ok {
		return i.payload()
	}
	return u.cfg.Modules[module].Image
}

// announceAgain makes what the hub is told at every login.
func (u *Updater) announceAgain() {
	var list []message.OTAVersion
	for _, name := range slices.Sorted(maps.Keys(u.cfg.Modules)) {
		v := message.OTAVersion{Module: name, Version: u.version(name)}
		if r := u.trust.root; r != nil {
			v.Manifest, v.Root = true, r.Version
			v.Sequence = u.sequence(name)
			if p := u.running(name); p != (manifest.Payload{}) {
				v.Image = p.Digest[:]
			}
		}
		list = append(list, v)
	}
	u.mu.Lock()
	u.announce = list
	u.mu.Unlock()
}

// up tells the hub, after a login, what runs and how far an update is.
func (u *Updater) up(ctx context.Context) {
	select {
	case <-u.ready:
	case <-ctx.Done():
		return
	}
	u.mu.Lock()
	list := u.announce
	u.mu.Unlock()
	method := message.OTARequestFirmware
	if u.reports.again() {
		method = message.OTAReportVersion // it is at one
	}
	for _, v := range list {
		if err := send(ctx, u, method, v); err != nil {
			return // the next login does it again
		}
	}
	u.mail.poke()
}

// send encodes and publishes a message.
func send[T any](ctx context.Context, u *Updater, method string, payload T) error {
	b, err := message.EncodeOTA(u.format, method, payload)
	if err != nil {
		return err
	}
	return u.cfg.Link.Send(ctx, b)
}
