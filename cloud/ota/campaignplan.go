package ota

import (
	"context"
	"slices"
	"time"
)

// Plan is what a campaign would do.
type Plan struct {
	Targets, Already int64
	Excluded         map[string]int64
	Waves            []int64 // how many devices have come when each is out
	Bytes            int64   // if every target downloads the whole firmware
	First            []string
	// Stones is how many devices are brought a version first, because the firmware needs it; NoWay names devices that can't come to it at all.
	Stones map[string]int64
	NoWay  []string
	// Minutes is how long the offers take at the campaign's rate, with the times to soak; devices that are away take longer.
	Minutes float64
}

// maxFirst is how many devices a Plan names.
const maxFirst = 10

// PlanCampaign is CreateCampaign without effect.
func (o *OTA) PlanCampaign(ctx context.Context, n NewCampaign) (*Plan, error) {
	if err := o.checkCampaign(ctx, &n); err != nil {
		return nil, err
	}
	f, err := o.deliverable(ctx, n.Product, n.Firmware)
	if err != nil {
		return nil, err
	}
	c := &Campaign{Spec: n.Spec, Task: Task{ID: int64(o.IDs.Next()), Product: f.Product, Module: f.Module, Version: f.Version}}
	w, err := o.waysTo(ctx, f)
	if err != nil {
		return nil, err
	}
	p := &Plan{Excluded: map[string]int64{}, Stones: map[string]int64{}}
	if err := o.sweep(ctx, c, n.Targets.Devices, w, func(s sorted) { p.add(s, w, f.Size) }); err != nil {
		return nil, err
	}
	p.finish(c, f.Size)
	return p, nil
}

// sweep judges all devices that a campaign may be for, part by part, without effect.
func (o *OTA) sweep(ctx context.Context, c *Campaign, names []string, w *ways, take func(sorted)) error {
	for at, more := "", true; more; {
		b, err := o.part(ctx, c, names, at)
		if err != nil {
			return err
		}
		have := map[int64]modules{}
		for part := range slices.Chunk(b.devices, chunk) {
			if err := versionsOf(ctx, o.Store, w.reading(c.Module), idsOf(part), have); err != nil {
				return err
			}
		}
		s, err := c.judge(b, have, w)
		if err != nil {
			return err
		}
		take(s)
		at, more = b.next, b.next != ""
	}
	return nil
}

// part is the part of the devices that a campaign may be for which begins at a place.
func (o *OTA) part(ctx context.Context, c *Campaign, names []string, at string) (batch, error) {
	if c.Listed > 0 {
		return o.listed(ctx, c.Product, names, at)
	}
	return o.candidates(ctx, c.Product, &c.Spec, at)
}

func (p *Plan) add(s sorted, w *ways, size int64) {
	p.Targets += int64(len(s.targets))
	p.Already += s.already
	for reason, n := range s.excluded {
		p.Excluded[reason] += n
	}
	for _, d := range s.stranded {
		if len(p.NoWay) < maxStranded {
			p.NoWay = append(p.NoWay, d.sn)
		}
	}
	p.Bytes += int64(len(s.targets)) * size
	for _, d := range s.targets {
		over, _ := w.from(d.runs)
		for _, s := range over {
			p.Stones[s.name(w.to.module)]++
			p.Bytes += s.size
		}
		if len(p.First) < maxFirst {
			p.First = append(p.First, d.sn)
		}
	}
}

func (p *Plan) finish(c *Campaign, size int64) {
	var before int64
	for _, w := range c.Waves {
		before = w.End(p.Targets, before)
		p.Waves = append(p.Waves, before)
		p.Minutes += float64(w.Soak) / 60
	}
	// Minute by minute, because the rate may grow; a year is long enough to know.
	perByte := 0.0
	if c.Rate.BytesPerSecond > 0 && size > 0 {
		perByte = float64(c.Rate.BytesPerSecond) * 60 / float64(size)
	}
	if c.Rate.PerMinute == 0 && perByte == 0 {
		return
	}
	left := float64(p.Targets)
	for m := range 365 * 24 * 60 {
		n := c.Rate.At(time.Duration(m) * time.Minute)
		if n == 0 || perByte > 0 && perByte < n {
			n = perByte
		}
		if left <= n {
			p.Minutes += left / n
			return
		}
		left -= n
		p.Minutes++
	}
}
