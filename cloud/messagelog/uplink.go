package messagelog

import (
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// Ended implements uplink.Journal: it is the one function of this package on the messages' path.
func (l *Log) Ended(m *uplink.Message, result uplink.Result, took time.Duration) {
	s := l.scratch.Get().(*scratch)
	r := Record{At: m.Came, Kind: KindUplink, Result: result, ID: m.ID, Product: m.Device.Product, Device: m.Device.SN, Topic: m.Name,
		QoS: m.QoS, Payload: m.Payload, Size: len(m.Payload), Took: took}
	r.Hops, r.More = m.Hops()
	switch m.Topic.Kind {
	case topic.Password, topic.SubdevRegister, topic.TopoFound:
		r.Payload, r.Masked = mask(m.Payload), true
	case topic.LogPost:
		r.Payload = nil // each line is a record
	}
	s.b = r.append(s.b[:0], l.cfg.Payload)
	l.put(m.Over(), s.b, result, keysOf(r.Product, r.Device, r.ID))
	l.scratch.Put(s)
}

// Mask replaces the secrets in a message of kind k, if such messages have any.
func Mask(k topic.Kind, payload []byte) (masked []byte, changed bool) {
	switch k {
	case topic.Password, topic.PasswordReply, topic.SubdevRegister, topic.SubdevRegisterReply, topic.TopoFound, topic.TopoNotifyAdd,
		topic.TopoNotifyDelete:
		return mask(payload), true
	}
	return payload, false
}

// secret tells whether the value of a member is never logged.
func secret(name string) bool {
	switch strings.ToLower(name) {
	case "productsecret", "devicesecret", "password", "secret", "sign":
		return true
	}
	return false
}

// mask returns the payload as JSON without its secrets. What cannot be read is not logged at all.
func mask(payload []byte) []byte {
	doc, err := codec.Decode(payload, codec.DefaultLimits())
	if err != nil {
		return nil
	}
	defer doc.Release()
	return appendMasked(nil, doc.Root())
}

func appendMasked(b []byte, v codec.Value) []byte {
	sep := byte(0)
	next := func() {
		if sep != 0 {
			b = append(b, sep)
		}
		sep = ','
	}
	switch v.Kind() {
	case codec.Object:
		b = append(b, '{')
		v.Each(func(name string, member codec.Value) bool {
			next()
			b = append(codec.AppendString(b, name), ':')
			if secret(name) {
				b = append(b, `"***"`...)
			} else {
				b = appendMasked(b, member)
			}
			return true
		})
		return append(b, '}')
	case codec.Array:
		b = append(b, '[')
		for i := range v.Len() {
			next()
			b = appendMasked(b, v.Index(i))
		}
		return append(b, ']')
	}
	return v.AppendJSON(b)
}
