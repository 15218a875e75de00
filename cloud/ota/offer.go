package ota

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/hawser-iot/hawser/cloud/shortlink"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// offer is the update_firmware of a deployment. Its keys and their order are what stock devices search for.
func (o *OTA) offer(ctx context.Context, d *deployment) ([]byte, error) {
	f, err := o.firmware(ctx, d.firmware)
	if err != nil {
		return nil, err
	}
	url := o.Links.NamedURL(shortlink.Link{Kind: shortlink.Firmware, ID: f.ID, Until: o.now().Add(o.cfg.URLLife)}, f.Module+"-"+f.Version+".bin")
	b := codec.AppendString([]byte(`{"Method":"update_firmware","Payload":{"Module":`), f.Module)
	b = codec.AppendString(append(b, `,"Version":`...), f.Version)
	b = codec.AppendString(append(b, `,"URL":`...), url)
	b = codec.AppendString(append(b, `,"MD5":`...), f.MD5)
	return append(strconv.AppendInt(append(b, `,"Size":`...), f.Size, 10), "}}"...), nil
}

// errNoPlain is for a device that verifies no manifests, and a release that only such can have.
var errNoPlain = errors.New("ota: the release is for devices that verify manifests")

// offerTo is the offer of a deployment to a device in the session with that epoch, in the format that it speaks, and what the deployment is when
// it is out. verifies tells whether the device verifies manifests; firmware that has none it gets as all others do.
func (o *OTA) offerTo(ctx context.Context, d *deployment, epoch int64, verifies bool, format codec.Format) (payload []byte, c change, err error) {
	f, err := o.firmware(ctx, d.firmware)
	if err != nil {
		return nil, change{}, err
	}
	c = o.pending(d, epoch)
	if c.manifest = f.Signed && verifies; !c.manifest {
		if !f.Plain() {
			return nil, c, errNoPlain
		}
		payload, err = o.offer(ctx, d)
		return payload, c, err
	}
	if d.Manifest && d.State == Pending { // the same offer once more
		c.attempt, c.step, c.deadline = d.Attempts, d.Step, d.Deadline
	}
	offer, err := o.manifestOffer(ctx, d, c.attempt)
	if err != nil {
		return nil, c, err
	}
	payload, err = message.EncodeOTA(format, message.OTAOfferFirmware, offer)
	return payload, c, err
}

// pending is d after an offer in the session with that epoch.
func (o *OTA) pending(d *deployment, epoch int64) change {
	now := o.now()
	c := d.now()
	c.state, c.percent, c.class, c.epoch, c.attempt, c.step, c.offered = Pending, 0, "", epoch, d.Attempts+1, 0, now
	c.deadline = o.deadline(d, c, now)
	return c
}

// deadline is until when the device may be silent once c is what it is. One that waits for its window or for somebody's consent may do so for as
// long as its task lives.
func (o *OTA) deadline(d *deployment, c change, now time.Time) time.Time {
	if c.state == Accepted && c.class != "" {
		return d.expires
	}
	if k := d.campaign; k != nil && k.Deadlines[c.state.String()] > 0 {
		return now.Add(time.Duration(k.Deadlines[c.state.String()]) * time.Second)
	}
	return now.Add(d.timeout)
}

// kick has Run look for work at once.
func (o *OTA) kick() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// Run goes on with campaigns, offers firmware to devices that are there and ends what has passed its deadline, until ctx ends.
func (o *OTA) Run(ctx context.Context) error {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	var polled time.Time
	for kicked := true; ; {
		due := o.sooner.due(o.now()) || kicked || time.Since(polled) >= o.cfg.Poll
		if due {
			polled = time.Now()
		}
		for _, work := range []struct {
			what string
			do   func(context.Context) error
			due  bool
		}{{"releases", o.finishReleases, due}, {"campaigns", o.tick, true}, {"offers", o.push, due}, {"deadlines", o.expire, due}, {"versions", o.sample, due}} {
			if !work.due {
				continue
			}
			if err := work.do(ctx); err != nil && ctx.Err() == nil {
				o.Log.Warn("updates wait, it is tried again", "what", work.what, "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-o.wake:
			kicked = true
		case <-tick.C:
			kicked = false
		}
	}
}

const (
	// pushBatch is how many devices are looked up at a time, pushAgain when one is tried again at the latest that did not take the offer.
	pushBatch = 500
	pushAgain = 30 * time.Second
)

// toOffer are the deployments whose device is online, without those that wait for another to be through with the module: see deployment.busy.
const toOffer = `JOIN session s ON s.device = d.device AND s.online = 1 WHERE NOT EXISTS (SELECT 1 FROM ota_deployment e LEFT JOIN firmware x ON x.id = e.via
	WHERE e.device = d.device AND e.task <> d.task AND e.open = 1 AND COALESCE(x.module, e.module) = COALESCE(stone.module, d.module)
	AND (e.state <> 0 OR stone.module <> d.module AND (COALESCE(x.module, e.module) = e.module OR e.task < d.task)))`

// push offers firmware to devices that are online and have not been offered it: they may not ask before they restart.
func (o *OTA) push(ctx context.Context) error {
	for {
		list, err := o.query(ctx, toOffer+` AND d.open = 1 AND d.state = 0 AND d.wave = 0
			AND d.next_at <= ? ORDER BY d.next_at LIMIT ?`, o.now().UnixMilli(), pushBatch)
		if err != nil {
			return err
		}
		if err := each(ctx, list, o.pushOne); err != nil {
			return err
		}
		if len(list) < pushBatch {
			return nil
		}
	}
}

// pushCampaign is push for the devices of a campaign, as many as its rate grants.
func (o *OTA) pushCampaign(ctx context.Context, v *live) error {
	for {
		id, limit := o.lives.look(v, o.now(), o.cfg.Poll)
		if limit <= 0 {
			return nil
		}
		list, err := o.query(ctx, toOffer+` AND d.task = ? AND d.open = 1 AND d.state = 0 AND d.wave > 0
			AND d.next_at <= ? ORDER BY d.next_at LIMIT ?`, id, o.now().UnixMilli(), limit)
		if err != nil || int64(len(list)) == limit {
			o.lives.stir(id, time.Time{}) // there may be more
		}
		if err != nil {
			return err
		}
		err = each(ctx, list, func(ctx context.Context, d *deployment) error {
			if !o.lives.take(d) {
				return nil
			}
			return o.pushOne(ctx, d)
		})
		if err != nil || int64(len(list)) < limit {
			return err
		}
	}
}

// together is how many devices are offered firmware at a time: their commits are one then.
const together = 64

// each calls do for every deployment. What fails for one ends no other in the middle: its offer may be noted and not out yet.
func each(ctx context.Context, list []deployment, do func(context.Context, *deployment) error) error {
	var g errgroup.Group
	g.SetLimit(together)
	for i := range list {
		g.Go(func() error { return do(ctx, &list[i]) })
	}
	return g.Wait()
}

// pushOne notes the offer first and takes the note back when it cannot be sent: an offer that is out is noted whatever happens.
func (o *OTA) pushOne(ctx context.Context, d *deployment) error {
	var epoch, connected int64
	err := o.Store.QueryRow(ctx, `SELECT epoch, connected_at FROM session WHERE device = ?`, d.device).Scan(&epoch, &connected)
	if errors.Is(err, store.ErrNoRows) {
		return nil // it was deleted meanwhile
	}
	if err != nil {
		return err
	}
	if c, ok, err := o.rerouted(ctx, d, nil); err != nil || ok {
		if ok {
			_, err = o.apply(ctx, d, c)
			o.sooner.at(o.now())
		}
		return err
	}
	verifies, err := o.verifies(ctx, d)
	if err != nil {
		return err
	}
	payload, out, err := o.offerTo(ctx, d, epoch, verifies, codec.CBOR) // the way to the device makes JSON of it where that is spoken
	switch {
	case errors.Is(err, ErrFirmwareNotFound):
		_, err = o.apply(ctx, d, d.end(Failed, classGone, 0))
		return err
	case errors.Is(err, errNoPlain):
		back := d.now()
		back.nextAt = o.now().Add(pushAgain)
		_, err = o.apply(ctx, d, back)
		return err
	case err != nil:
		return err
	}
	if ok, err := o.apply(ctx, d, out); !ok {
		return err
	}
	err = o.Sender.Send(ctx, d.Device, topic.System(d.Device, topic.OTADownstream), payload, false)
	if err == nil {
		return nil
	}
	o.Log.Debug("firmware not offered", "product", d.Device.Product, "device", d.Device.SN, "err", err)
	return o.putOff(ctx, d, o.now().Sub(timeOf(connected)))
}

// putOff takes the note of an offer back that did not reach its device, whose session has that age. A device that has just connected has not
// subscribed yet, and what it asked since the note stood was not answered: it is tried again after as long as its session lasts, at least a second.
func (o *OTA) putOff(ctx context.Context, d *deployment, age time.Duration) error {
	back := d.now()
	back.state, back.nextAt = Initial, o.now().Add(min(max(age, time.Second), pushAgain))
	noted := *d
	noted.State, noted.revision = Pending, d.revision+1
	// A hub that is about to end takes it back, too: nobody would offer it again in this session.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if ok, err := o.apply(ctx, &noted, back); !ok {
		return err // without one, the device has asked for itself meanwhile
	}
	o.lives.stir(d.Task, back.nextAt)
	o.sooner.at(back.nextAt)
	return nil
}

// verifies tells whether the device of a deployment verifies manifests, as its login or its last report of the module says.
func (o *OTA) verifies(ctx context.Context, d *deployment) (bool, error) {
	var announced int64
	err := o.Store.QueryRow(ctx, `SELECT manifest FROM module_version WHERE device = ? AND module = ?`, d.device, d.Module).Scan(&announced)
	if err != nil && !errors.Is(err, store.ErrNoRows) {
		return false, fmt.Errorf("ota: read what a device announced: %w", err)
	}
	if announced != 0 {
		return true, nil
	}
	return o.Sender.Verifies(ctx, d.Device)
}

// expire ends the deployments whose deadline has passed.
func (o *OTA) expire(ctx context.Context) error {
	for {
		list, err := o.query(ctx, `WHERE d.open = 1 AND d.deadline < ? ORDER BY d.deadline LIMIT ?`, o.now().UnixMilli(), pushBatch)
		if err != nil {
			return err
		}
		err = each(ctx, list, func(ctx context.Context, d *deployment) error {
			_, err := o.apply(ctx, d, d.end(TimedOut, d.State.String(), 0))
			return err
		})
		if err != nil {
			return err
		}
		if len(list) < pushBatch {
			return nil
		}
	}
}
