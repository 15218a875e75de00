package ota

import (
	"strconv"
	"time"

	"github.com/hawser-iot/hawser/cloud/monitor"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// event is what rules and watchers see of a change of a deployment, on ota/event:
//
//	{"TaskID":"…","Module":"default","Version":"2.0","FromVersion":"1.0","State":"downloading","Percent":40,"Time":ms}
//
// A failure has Class and, when the device gave one, ErrCode too.
func (d *deployment) event(c change, at time.Time) []byte {
	b := append([]byte(`{"TaskID":"`), strconv.FormatInt(d.Task, 10)...)
	b = codec.AppendString(append(b, `","Module":`...), d.Module)
	b = codec.AppendString(append(b, `,"Version":`...), d.Version)
	b = codec.AppendString(append(b, `,"FromVersion":`...), d.From)
	b = codec.AppendString(append(b, `,"State":`...), c.state.Stock())
	b = codec.AppendString(append(b, `,"Stage":`...), c.state.String())
	b = strconv.AppendInt(append(b, `,"Percent":`...), int64(c.percent), 10)
	if class := StockClass(c.state, c.class); class != "" {
		b = codec.AppendString(append(b, `,"Class":`...), class)
	}
	if c.code != 0 {
		b = strconv.AppendInt(append(b, `,"ErrCode":`...), c.code, 10)
	}
	b = strconv.AppendInt(append(b, `,"Time":`...), at.UnixMilli(), 10)
	return append(b, '}')
}

// eventMessage is the event of a change that no message of the device causes; nil when nobody could see it, or nothing has changed that
// would be worth it.
func (o *OTA) eventMessage(d *deployment, c change, at time.Time) *uplink.Message {
	watched := o.Feed != nil && o.Feed.Watched()
	if o.Rules == nil && !watched || !d.differs(c) {
		return nil
	}
	return &uplink.Message{ID: o.IDs.Next(), Device: d.Device, DeviceID: d.device, At: at, Payload: d.event(c, at),
		Topic: topic.Topic{Kind: topic.OTAEvent, Device: d.Device}, Name: topic.System(d.Device, topic.OTAEvent)}
}

// outputs are what rules make of an event.
func (o *OTA) outputs(m *uplink.Message) [][]byte {
	if m == nil || o.Rules == nil {
		return nil
	}
	return o.Rules.Match(m, m.Name, m.Root, nil)
}

// show lets watchers see an event that is committed.
func (o *OTA) show(m *uplink.Message) {
	if m == nil || o.Feed == nil || !o.Feed.Watched() {
		return
	}
	o.Feed.Publish(monitor.Event{Time: m.At, Type: monitor.TypeOTA, Product: m.Device.Product, Device: m.Device.SN, Topic: m.Name,
		MessageID: m.ID, Data: m.Payload})
}
