package thingmodel

import (
	"errors"
	"strconv"

	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// refuse answers a message that is at fault in the form of its kind, in which the member that devices look for is there all
// the same: {"RetCode":230,"RequestID":"3","Property":{},"Message":"bad parameter"}. Other errors pass.
func refuse(m *uplink.Message, kind topic.Kind, member string, err error) error {
	if err == nil {
		return nil
	}
	var r *uplink.Refusal
	var syntax *codec.SyntaxError
	switch {
	case errors.As(err, &r):
	case errors.As(err, &syntax):
		r = uplink.Refuse(message.CodeBad, "payload is neither JSON nor CBOR")
	default:
		return err
	}
	b := strconv.AppendInt([]byte(`{"RetCode":`), int64(r.Code), 10)
	if id, code := m.RequestID(); code.OK() {
		b = codec.AppendString(append(b, `,"RequestID":`...), id)
	}
	b = append(append(b, ',', '"'), member...)
	b = codec.AppendString(append(b, `":{},"Message":`...), message.Plain(r.Reason))
	if err := m.Reply(kind, "", append(b, '}')); err != nil {
		return err
	}
	return r
}

// retCode reads the RetCode of a device's answer; some write it as a string.
func retCode(root codec.Value) (message.Code, bool) {
	v := root.Get("RetCode")
	if n, ok := v.Int(); ok {
		return message.Code(n), true
	}
	if f, ok := v.Float(); ok && f == float64(int32(f)) {
		return message.Code(f), true
	}
	s, _ := v.Str()
	n, err := strconv.ParseInt(s, 10, 32)
	return message.Code(n), err == nil
}
