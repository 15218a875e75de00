package gateway

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// Bucket keeps small values on the disk.
type Bucket interface {
	// PutNow returns when the value is on the disk; Put has it there soon. A nil value is none.
	PutNow(key string, value []byte) error
	Put(key string, value []byte)
	Get(key string) []byte
	// Keys are those that have a value, in order.
	Keys() []string
}

// nowhere keeps nothing.
type nowhere struct{}

func (nowhere) PutNow(string, []byte) error { return nil }
func (nowhere) Put(string, []byte)          {}
func (nowhere) Get(string) []byte           { return nil }
func (nowhere) Keys() []string              { return nil }

// The parts of the Bucket: member/CLIENTID is a remembered, mail/CLIENTID/NUMBER a letter.
const (
	bucketMembers = "member/"
	bucketMail    = "mail/"
)

// member is a sub-device that is behind this gateway, or was.
type member struct {
	device ident.Device
	perms  *topic.Permissions
	sleep  time.Duration

	// Gateway.mu guards the fields below.
	secret credential.Secret
	listed bool // in the configuration
	said   remembered
	port   Port // its driver, nil for one that logs in itself
	online bool // connected, and what waited is on its way
	mail   []letter
	next   uint64 // number of the next letter
	// mailBytes are those of the letters' payloads.
	mailBytes int
	sleeper   *time.Timer
}

// remembered is what outlives the agent: the hub's word, and the session.
type remembered struct {
	Secret   string                `json:"secret,omitempty"`   // of one that the hub has put here
	Disabled bool                  `json:"disabled,omitempty"` // by the hub
	Gone     bool                  `json:"gone,omitempty"`     // deleted, or taken from this gateway
	Filters  []server.Subscription `json:"filters,omitempty"`  // of a session that is kept
	Left     int64                 `json:"left,omitempty"`     // when its connection ended, Unix seconds
}

func (m *member) barred() bool { return m.said.Disabled || m.said.Gone }

func newMember(d ident.Device, secret credential.Secret) *member {
	return &member{
		device: d, secret: secret, next: 1,
		perms: topic.Compile(d, []topic.Template{{Path: "#", Perm: topic.Sub}}, topic.Scope{}),
	}
}

// enrol makes the members of the configuration and those that the hub has added, and reads what waits for them.
func (g *Gateway) enrol() error {
	for _, s := range g.cfg.Subdevices {
		if err := s.Device.Check(); err != nil {
			return fmt.Errorf("sub-device %s: %w", s.Device, err)
		}
		if s.Secret == "" && g.cfg.Products[s.Device.Product] == "" {
			return fmt.Errorf("sub-device %s: the secret is missing, and that of its product too", s.Device)
		}
		if s.Secret == "" {
			s.Secret = g.cfg.Keys.Secret(s.Device)
		}
		if g.members[s.Device] != nil {
			return fmt.Errorf("sub-device %s is listed twice", s.Device)
		}
		m := newMember(s.Device, s.Secret)
		m.listed, m.sleep = true, s.Sleep
		g.members[s.Device] = m
	}
	for _, a := range g.cfg.Applications {
		if err := g.enrolApplication(a); err != nil {
			return err
		}
	}
	keys := g.cfg.State.Keys()
	var gone []ident.Device
	for _, k := range keys {
		if d, ok := strings.CutPrefix(k, bucketMembers); ok && g.remember(d, g.cfg.State.Get(k)) {
			if d, err := ident.ParseClientID(d); err == nil {
				gone = append(gone, d)
			}
		}
	}
	g.forget(gone)
	g.enrolAdded(gone)
	for _, k := range keys {
		if strings.HasPrefix(k, bucketMail) {
			g.recall(k, g.cfg.State.Get(k))
		}
	}
	return nil
}

// remember takes one value of the Bucket. What can't be read is reported and left out: the hub tells again what matters. It reports whether this is
// of one that the hub had put here and has taken away, and that is to be forgotten still.
func (g *Gateway) remember(id string, value []byte) (gone bool) {
	d, err := ident.ParseClientID(id)
	var said remembered
	if err == nil {
		err = json.Unmarshal(value, &said)
	}
	if err != nil {
		g.log.Error("what was kept of a sub-device can't be read", "id", id, "err", err)
		return false
	}
	m := g.members[d]
	if m == nil {
		if said.Secret == "" || !g.cfg.Learn {
			return false // no longer in the configuration
		}
		if said.Gone {
			return true
		}
		m = newMember(d, credential.Secret(said.Secret))
		g.members[d] = m
	}
	m.said = said
	return false
}

// forget ends what is kept of sub-devices that the hub had put here and has taken away. They are in the Bucket as gone until their secrets are: an
// agent that is killed in between does not let them in again.
func (g *Gateway) forget(gone []ident.Device) {
	if len(gone) == 0 || !g.keepAdded(gone) {
		return
	}
	for _, d := range gone {
		g.cfg.State.Put(bucketMembers+d.ClientID(), nil)
	}
}

// save keeps what is known of m; the caller holds g.mu.
func (g *Gateway) saveLocked(m *member) {
	b, err := json.Marshal(m.said)
	if err == nil {
		err = g.cfg.State.PutNow(bucketMembers+m.device.ClientID(), b)
	}
	if err != nil {
		g.log.Error("what is known of a sub-device can't be kept", "product", m.device.Product, "device", m.device.SN, "err", err)
	}
}

// resume tells the way up of who the hub has added, and of those who slept when the agent ended.
func (g *Gateway) resume() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for d, m := range g.members {
		if m.barred() {
			continue
		}
		if (!m.listed || g.cfg.Keys != nil) && m.secret != "" {
			g.up.Admitted(d, m.secret)
		}
		left := m.sleep - time.Since(time.Unix(m.said.Left, 0))
		if len(m.said.Filters) > 0 && m.said.Left > 0 && left > 0 {
			g.up.Attached(d)
			g.up.Wanted(d, m.said.Filters)
			g.sleepLocked(m, left)
		}
	}
}

// sleepLocked has m leave when it has not come back in time.
func (g *Gateway) sleepLocked(m *member, d time.Duration) {
	m.wakeLocked()
	var t *time.Timer
	t = time.AfterFunc(d, func() {
		g.mu.Lock()
		over := m.sleeper == t
		if over {
			m.sleeper = nil
		}
		g.mu.Unlock()
		if over {
			g.log.Info("sub-device did not come back", "product", m.device.Product, "device", m.device.SN)
			g.up.Detached(m.device)
		}
	})
	m.sleeper = t
}

// wakeLocked forgets that m sleeps, and tells whether it did.
func (m *member) wakeLocked() bool {
	was := m.sleeper != nil
	if was {
		m.sleeper.Stop()
		m.sleeper = nil
	}
	return was
}

func (g *Gateway) stopTimers() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, m := range g.members {
		m.wakeLocked()
	}
}

// Carries tells whether the gateway stands for the sub-device: one that the hub has taken away is not added again.
func (g *Gateway) Carries(d ident.Device) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	m := g.members[d]
	return m != nil && !m.said.Gone
}

// Notice does what the hub says about sub-devices, on a topic of that kind.
func (g *Gateway) Notice(k topic.Kind, subs []message.Subdev) {
	var all, gone []ident.Device
	for _, s := range subs {
		d := s.Device()
		end, left := g.noticeOf(k, s)
		if end {
			g.engine.Kick(d.ClientID(), server.CauseKicked)
			g.engine.Forget(d.ClientID())
		}
		if all = append(all, d); left {
			gone = append(gone, d)
		}
	}
	g.forget(gone)
	if k == topic.TopoNotifyAdd || k == topic.TopoNotifyDelete || k == topic.SubdevDelete {
		g.keepAdded(all)
	}
}

// noticeOf changes one sub-device; it reports whether its connection must end, and whether it is no member any more.
func (g *Gateway) noticeOf(k topic.Kind, s message.Subdev) (end, left bool) {
	d := s.Device()
	g.mu.Lock()
	defer g.mu.Unlock()
	m := g.members[d]
	secret := credential.Secret(s.DeviceSecret)
	if m == nil {
		if k != topic.TopoNotifyAdd || !g.cfg.Learn || secret == "" || d.Check() != nil || len(g.members) >= MaxSubdevices {
			return false, false
		}
		m = newMember(d, secret)
		g.members[d] = m
	}
	before, was := m.barred(), m.said
	switch k {
	case topic.SubdevEnable:
		m.said.Disabled = false
	case topic.SubdevDisable:
		m.said.Disabled = true
	case topic.SubdevDelete, topic.TopoNotifyDelete:
		m.said.Gone = true
	case topic.TopoNotifyAdd:
		m.said.Gone = false
		if !m.listed && secret != "" {
			m.secret, m.said.Secret = secret, s.DeviceSecret
			g.up.Admitted(d, secret)
		}
	}
	if m.said.Disabled == was.Disabled && m.said.Gone == was.Gone && m.said.Secret == was.Secret {
		return false, false // it was so
	}
	g.log.Info("the hub changed a sub-device", "product", d.Product, "device", d.SN, "what", k.String(), "served", !m.barred())
	if m.barred() {
		m.wakeLocked()
		m.said.Filters = nil
		g.discardLocked(m)
	}
	if left = m.said.Gone && !m.listed; left { // the hub tells again should it come back; others need the place
		delete(g.members, d)
	}
	g.saveLocked(m)
	return m.barred() && !before, left
}

// MaxSubdevices bounds how many sub-devices the hub may put behind the gateway, as it itself does.
const MaxSubdevices = 1000
