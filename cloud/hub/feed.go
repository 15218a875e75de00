package hub

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hawser-iot/hawser/cloud/api"
	"github.com/hawser-iot/hawser/cloud/monitor"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// watchFeed is the monitor as the paths see it: it gives events the type that their topic means, keeps secrets out, and
// shows what goes down as well as what comes up.
type watchFeed struct {
	*monitor.Feed
	until   *atomic.Int64 // Unix milliseconds until when it counts as watched though nobody is there; 0: not
	stopped context.Context
	end     context.CancelFunc // ends all watching, for good
}

var (
	_ uplink.Feed = watchFeed{}
	_ api.Feed    = watchFeed{}
)

// lingering is how long a watcher who has gone may take to come back and miss nothing.
const lingering = time.Minute

func newWatchFeed(f *monitor.Feed) watchFeed {
	ctx, cancel := context.WithCancel(context.Background())
	return watchFeed{f, new(atomic.Int64), ctx, cancel}
}

// Resume is the monitor's; when the watcher goes the feed goes on for a while. Who comes back after it had ended has missed what
// nobody took down. The channel is closed when the hub stops.
func (f watchFeed) Resume(filter monitor.Filter) (events <-chan monitor.Event, whole bool, cancel func()) {
	watched := f.Watched()
	events, whole, end := f.Feed.Resume(filter)
	unhook := context.AfterFunc(f.stopped, end)
	return events, whole && (watched || filter.After <= 0), func() {
		unhook()
		f.until.Store(time.Now().Add(lingering).UnixMilli())
		end()
	}
}

// Done is closed when the hub stops.
func (f watchFeed) Done() <-chan struct{} { return f.stopped.Done() }

// Watched tells whether somebody watches or did so a moment ago.
func (f watchFeed) Watched() bool {
	if f.Feed.Watched() {
		return true
	}
	until := f.until.Load()
	if until == 0 {
		return false
	}
	if time.Now().UnixMilli() < until {
		return true
	}
	f.until.CompareAndSwap(until, 0)
	return false
}

// Publish hands on what came up.
func (f watchFeed) Publish(e monitor.Event) {
	// The topic is the connection's memory until the message ends; watchers keep it for longer.
	e.Topic = strings.Clone(e.Topic)
	t, err := topic.Parse(e.Topic)
	if err == nil {
		if e.Type == monitor.TypeMessage {
			e.Type = typeOf(t.Kind)
		}
		switch t.Kind {
		case topic.Password, topic.SubdevRegister, topic.TopoFound:
			e.Data = nil // holds a secret, and every viewer may watch
		}
	}
	f.Feed.Publish(e)
}

// down shows a message that went to a device at that time.
func (f watchFeed) down(at time.Time, dev ident.Device, topicName string, payload []byte, qos byte) {
	if !f.Watched() {
		return
	}
	e := monitor.Event{Time: at, Type: monitor.TypeMessage, Product: dev.Product, Device: dev.SN, Topic: topicName}
	if t, err := topic.Parse(topicName); err == nil {
		e.Type = typeOf(t.Kind)
	}
	if doc, err := codec.Decode(payload, codec.DefaultLimits()); err == nil {
		e.Data = append(doc.Root().AppendJSON(fmt.Appendf(nil, `{"qos":%d,"payload":`, qos)), '}')
		doc.Release()
	} else {
		e.Data = fmt.Appendf(nil, `{"qos":%d,"payloadBase64":"%s"}`, qos, base64.StdEncoding.EncodeToString(payload))
	}
	f.Feed.Publish(e)
}

// typeOf is the type of event that a topic means.
func typeOf(k topic.Kind) string {
	switch k {
	case topic.DeviceStatus:
		return monitor.TypePresence
	case topic.ShadowUpstream, topic.ShadowDownstream, topic.ShadowGet, topic.ShadowGetReply, topic.ShadowDocument:
		return monitor.TypeShadow
	case topic.PropertyPost, topic.PropertyPostReply, topic.PropertySet, topic.PropertySetReply, topic.PropertyRestore,
		topic.PropertyRestoreReply, topic.PropertyDocument, topic.DesiredGet, topic.DesiredGetReply, topic.DesiredDelete,
		topic.DesiredDeleteReply:
		return monitor.TypeProperty
	case topic.EventPost, topic.EventPostReply:
		return monitor.TypeEvent
	case topic.Command, topic.CommandReply:
		return monitor.TypeCommand
	case topic.OTAUpstream, topic.OTADownstream, topic.OTAEvent:
		return monitor.TypeOTA
	}
	return monitor.TypeMessage
}
