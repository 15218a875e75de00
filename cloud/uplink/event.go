package uplink

import (
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/hawser-iot/hawser/cloud/monitor"
	"github.com/hawser-iot/hawser/protocol/codec"
)

// event is a message as watchers see it: {"qos":1,"payload":…} when the payload is JSON or CBOR, else
// {"qos":1,"payloadBase64":"…"}. It shares no memory with the message.
func (m *Message) event(topicName string, payload []byte) monitor.Event {
	data := append(make([]byte, 0, len(payload)*4/3+48), `{"qos":`...)
	data = strconv.AppendUint(data, uint64(m.QoS), 10)
	if doc, err := codec.Decode(payload, codec.DefaultLimits()); err == nil {
		data = doc.Root().AppendJSON(append(data, `,"payload":`...))
		doc.Release()
	} else {
		data = base64.StdEncoding.AppendEncode(append(data, `,"payloadBase64":"`...), payload)
		data = append(data, '"')
	}
	return monitor.Event{
		Time: m.At, Type: monitor.TypeMessage, Product: m.Device.Product, Device: m.Device.SN,
		Topic: strings.Clone(topicName), MessageID: m.ID, Data: append(data, '}'),
	}
}
