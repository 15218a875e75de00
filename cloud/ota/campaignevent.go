package ota

import (
	"context"
	"encoding/json"
	"strconv"

	"github.com/hawser-iot/hawser/cloud/monitor"
)

// progressEvent is what watchers are told of a campaign: how many devices are where, never which.
type progressEvent struct {
	CampaignID string
	Name       string
	Status     string
	Wave       int
	Waves      int
	Targets    int64
	Released   int64
	Devices    map[string]int64
	Classes    map[string]int64 `json:",omitempty"`
	Reason     string           `json:",omitempty"`
}

func eventOf(c *Campaign, p Progress) (json.RawMessage, error) {
	e := progressEvent{CampaignID: strconv.FormatInt(c.ID, 10), Name: c.Name, Status: c.Status.String(), Wave: c.Wave, Waves: len(c.Waves), Targets: c.Targets,
		Released: c.Released, Devices: map[string]int64{}, Classes: p.Classes(), Reason: c.Reason}
	for state, n := range p.States() {
		e.Devices[state.String()] = n
	}
	return json.Marshal(e)
}

// tell lets watchers see a campaign when something has changed since they were told last.
func (o *OTA) tell(c *Campaign, v *live, p Progress) {
	if o.Feed == nil || !o.Feed.Watched() {
		return
	}
	data, err := eventOf(c, p)
	if err != nil {
		o.Log.Warn("campaign not shown", "campaign", c.ID, "err", err)
		return
	}
	if v != nil {
		o.lives.mu.Lock()
		same := v.shown == string(data)
		v.shown = string(data)
		o.lives.mu.Unlock()
		if same {
			return
		}
	}
	o.Feed.Publish(monitor.Event{Time: o.now(), Type: monitor.TypeCampaign, Product: c.Product, Data: data})
}

// told is tell for the last time.
func (o *OTA) told(ctx context.Context, c *Campaign) {
	p, err := o.Progress(ctx, c.ID)
	if err != nil {
		o.Log.Warn("campaign not shown", "campaign", c.ID, "err", err)
		return
	}
	o.tell(c, nil, p)
	if c.Status == Done {
		o.lives.drop(c.ID)
	}
}
