package ota

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/ota/rollout"
	"github.com/hawser-iot/hawser/firmware/manifest"
)

// running is what a device says that it runs of a module. sequence is 0 for one that does not verify.
type running struct {
	version  string
	sequence uint64
}

// modules is what a device says that it runs, by module. It is not changed once it is read.
type modules map[string]running

// ask is what a firmware wants a module to be before it is installed; all that is set must hold. A module of which the device has said nothing is never it.
type ask struct {
	module  string
	atLeast string        // version
	in      rollout.Range // of versions
	rule    manifest.Rule // of a signed release
}

func (a *ask) met(r running) bool {
	return r.version != "" && (a.atLeast == "" || rollout.Compare(r.version, a.atLeast) >= 0) && a.in.Takes(r.version) &&
		(a.rule.IsZero() || a.rule.Takes(r.version, r.sequence))
}

// stone is a firmware as ways see it: who can take it, and what a device runs then.
type stone struct {
	id       int64
	module   string // that it is known by
	asks     []ask
	signed   bool
	size     int64
	becoming modules // what it installs
}

// takes tells whether a device can go from what it runs to the stone.
func (s *stone) takes(m modules) bool {
	for module, then := range s.becoming {
		if now := m[module]; s.signed && now.sequence > 0 && then.sequence <= now.sequence {
			return false
		}
	}
	for i := range s.asks {
		if a := &s.asks[i]; !a.met(m[a.module]) {
			return false
		}
	}
	return true
}

// raises tells whether the stone brings a device on, and no module of it back. What it runs of the stone's own module must be known.
func (s *stone) raises(m modules) bool {
	on := false
	for module, then := range s.becoming {
		now := m[module].version
		if now == "" && module == s.module {
			return false
		}
		order := 1
		if now != "" {
			order = rollout.Compare(then.version, now)
		}
		if order < 0 {
			return false
		}
		on = on || order > 0
	}
	return on
}

// on is what a device runs when it has taken the stone.
func (s *stone) on(m modules) modules {
	then := maps.Clone(m)
	if then == nil {
		then = modules{}
	}
	for module, r := range s.becoming {
		then[module] = running{r.version, max(m[module].sequence, r.sequence)}
	}
	return then
}

// version is what a device runs of the stone's own module then.
func (s *stone) version() string { return s.becoming[s.module].version }

// name is how a plan shows the stone on the way to a firmware of a module.
func (s *stone) name(module string) string {
	if s.module == module {
		return s.version()
	}
	return s.module + " " + s.version()
}

// ways are the ways to a firmware over others. Nil is a firmware that every device can take at once. It is for one goroutine.
type ways struct {
	to     stone
	stones []stone
	reads  []string       // the modules that decide, in ascending order
	most   int            // modules of which something is asked that one stone installs
	found  map[string]way // by what a device runs of these
}

// way is the stones of a way, without its end. ok is false when there is none.
type way struct {
	over []stone
	ok   bool
}

// waysOf are the ways of a campaign. A firmware that is gone has none; each device's offer says so.
func (o *OTA) waysOf(ctx context.Context, c *Campaign) (*ways, error) {
	f, err := o.firmware(ctx, c.Firmware)
	if errors.Is(err, ErrFirmwareNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return o.waysTo(ctx, f)
}

// waysTo finds out what a firmware needs, and what there is to come to that.
func (o *OTA) waysTo(ctx context.Context, f *Firmware) (*ways, error) {
	to, err := o.stone(ctx, f)
	if err != nil || len(to.asks) == 0 {
		return nil, err
	}
	list, err := o.Firmwares(ctx, f.Product, "")
	if err != nil {
		return nil, err
	}
	var all []stone
	for _, other := range list {
		s, err := o.stone(ctx, other)
		if err != nil {
			return nil, err
		}
		if below := s.becoming[to.module].version; other.ID != f.ID && (below == "" || rollout.Compare(below, f.Version) < 0) {
			all = append(all, s)
		}
	}
	return waysOver(to, all), nil
}

// waysOver picks those that may lead to a firmware: what installs a module of which it asks something, or one of those picked does.
func waysOver(to stone, all []stone) *ways {
	w := &ways{to: to, found: map[string]way{}}
	asked, reads := map[string]bool{}, map[string]bool{}
	take := func(s *stone) {
		for _, a := range s.asks {
			asked[a.module], reads[a.module] = true, true
		}
		for module := range s.becoming {
			reads[module] = true
		}
	}
	take(&to)
	for more := true; more; {
		more = false
		all = slices.DeleteFunc(all, func(s stone) bool {
			for module := range s.becoming {
				if asked[module] {
					take(&s)
					w.stones, more = append(w.stones, s), true
					return true
				}
			}
			return false
		})
	}
	w.reads, w.most = slices.Sorted(maps.Keys(reads)), 1
	for _, s := range w.stones {
		n := 0
		for module := range s.becoming {
			if asked[module] {
				n++
			}
		}
		w.most = max(w.most, n)
	}
	return w
}

func (o *OTA) stone(ctx context.Context, f *Firmware) (stone, error) {
	s := stone{id: f.ID, module: f.Module, signed: f.Signed, size: f.Size, becoming: modules{f.Module: {version: f.Version}}}
	if !f.Signed {
		var err error
		s.asks, err = f.asks()
		return s, err
	}
	rel, err := o.Artifacts.Release(ctx, f.ID)
	if err != nil {
		return s, err
	}
	for _, c := range rel.Manifest.Components {
		s.becoming[c.Module] = running{c.Version, rel.Manifest.Sequence}
		if !c.From.IsZero() {
			s.asks = append(s.asks, ask{module: c.Module, rule: c.From})
		}
	}
	for _, r := range rel.Manifest.Requires {
		s.asks = append(s.asks, ask{module: r.Module, rule: r.Rule})
	}
	return s, nil
}

// reading are the modules that decide on the way of a device, beside the one that its firmware is for.
func (w *ways) reading(module string) []string {
	if w == nil || slices.Contains(w.reads, module) {
		if w != nil {
			return w.reads
		}
		return []string{module}
	}
	return append([]string{module}, w.reads...)
}

// first is the firmware that a device is brought first, 0 for that of the task.
func (w *ways) first(m modules) (via int64, ok bool) {
	over, ok := w.from(m)
	if len(over) > 0 {
		via = over[0].id
	}
	return via, ok
}

// shown is what a device runs of a module, and of the others that decide whether it can take the firmware.
func (w *ways) shown(module string, m modules) string {
	text := known(m[module].version)
	if w != nil {
		for _, a := range w.to.asks {
			if a.module != module {
				text += ", " + a.module + " " + known(m[a.module].version)
			}
		}
	}
	return text
}

func known(version string) string {
	if version == "" {
		return "unknown"
	}
	return version
}

// maxStranded is how many devices ErrNoWay names.
const maxStranded = 100

// ErrNoWay is returned for a task or campaign with devices that can't come to its firmware, neither at once nor over others that the hub has.
type ErrNoWay struct {
	Version string
	N       int64
	Devices []string // the first of them, each with what it runs
}

func (e *ErrNoWay) Error() string {
	return fmt.Sprintf("ota: %d devices have no way to %s: %s", e.N, e.Version, strings.Join(e.Devices, ", "))
}

// add counts a device in, with what it runs.
func (e *ErrNoWay) add(sn, runs string) {
	if e.N++; len(e.Devices) < maxStranded {
		e.Devices = append(e.Devices, sn+" ("+runs+")")
	}
}

// stranded is nil, or an ErrNoWay with devices of a campaign that is to be made.
func (o *OTA) stranded(ctx context.Context, c *Campaign, names []string, w *ways) error {
	if w == nil {
		return nil
	}
	e := &ErrNoWay{Version: c.Version}
	err := o.sweep(ctx, c, names, w, func(s sorted) {
		for _, d := range s.stranded {
			e.add(d.sn, w.shown(c.Module, d.runs))
		}
	})
	if err == nil && e.N > 0 {
		err = e
	}
	return err
}

// arrived is what becomes of a deployment whose device runs what it was brought: the end, or the next stone.
func (o *OTA) arrived(ctx context.Context, d *deployment) (change, error) {
	if d.via == 0 {
		return d.end(Succeeded, "", 0), nil
	}
	s, err := o.firmware(ctx, d.firmware)
	if err != nil {
		return change{}, err
	}
	at, err := o.stone(ctx, s)
	if err != nil {
		return change{}, err
	}
	via, ok, err := o.way(ctx, d, at.becoming)
	if err != nil {
		return change{}, err
	}
	if !ok {
		return d.end(Failed, classNoWay, 0), nil
	}
	c := d.now()
	c.state, c.percent, c.class, c.code, c.via, c.stones, c.deadline, c.nextAt = Initial, 0, "", 0, via, d.stones+1, d.queuedUntil(o.now()), o.now()
	o.lives.stir(d.Task, time.Time{})
	return c, nil
}

// way is where a deployment goes next from what its device is known to run, and what it just said beyond that.
func (o *OTA) way(ctx context.Context, d *deployment, said modules) (via int64, ok bool, err error) {
	f, err := o.firmware(ctx, d.target)
	if err != nil {
		return 0, false, err
	}
	w, err := o.waysTo(ctx, f)
	if err != nil {
		return 0, false, err
	}
	have := map[int64]modules{}
	if err := versionsOf(ctx, o.Store, w.reading(d.lead), []int64{d.device}, have); err != nil {
		return 0, false, err
	}
	now := modules{}
	maps.Copy(now, have[d.device])
	maps.Copy(now, said)
	via, ok = w.first(now)
	return via, ok, nil
}

// rerouted is a deployment that was on its way over a stone which is no longer its next: another task or somebody's hand has brought the device
// on meanwhile. ok is false when the stone is still right.
func (o *OTA) rerouted(ctx context.Context, d *deployment, said modules) (c change, ok bool, err error) {
	if d.via == 0 {
		return c, false, nil
	}
	via, there, err := o.way(ctx, d, said)
	if errors.Is(err, ErrFirmwareNotFound) {
		return c, false, nil // the offer says so
	}
	if err != nil || there && via == d.via {
		return c, false, err
	}
	if !there {
		return d.end(Failed, classNoWay, 0), true, nil
	}
	c = d.now()
	c.state, c.via, c.nextAt = Initial, via, o.now()
	o.lives.stir(d.Task, time.Time{})
	return c, true, nil
}
