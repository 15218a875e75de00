package hub

import (
	"encoding/base64"
	"fmt"
	"time"

	"github.com/hawser-iot/hawser/cloud/monitor"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// watchFeed is the monitor as the paths see it: it gives events the type that their topic means, keeps secrets out, and
// shows what goes down as well as what comes up.
type watchFeed struct{ *monitor.Feed }

var _ uplink.Feed = watchFeed{}

// Publish hands on what came up.
func (f watchFeed) Publish(e monitor.Event) {
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

// down shows a message to a device.
func (f watchFeed) down(dev ident.Device, topicName string, payload []byte, qos byte) {
	if !f.Watched() {
		return
	}
	e := monitor.Event{Time: time.Now(), Type: monitor.TypeMessage, Product: dev.Product, Device: dev.SN, Topic: topicName}
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
	}
	return monitor.TypeMessage
}
