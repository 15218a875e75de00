package uplink

import (
	"errors"
	"strconv"

	"github.com/hawser-iot/hawser/cloud/monitor/meter"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
)

// meter counts the end of a message for its product.
func (p *Path) meter(m *Message, err error) {
	if p.Meter == nil {
		return
	}
	c := p.Meter.Of(m.Device.Product)
	if err == nil && m.refused == nil {
		c.Message(meter.Up, len(m.Payload))
		return
	}
	c.Add(meter.UpErrors, 1)
	e := meter.Error{Where: "up", Product: m.Device.Product, What: "not stored"}
	if !errors.Is(err, server.ErrUnavailable) {
		code := message.CodeInternal
		if m.refused != nil {
			code = m.refused.Code
		}
		e.What = strconv.Itoa(int(code)) + " " + code.Text()
	}
	p.Meter.Fail(e)
}

// First tells whether the message is handled for the first time, not anew after a conflict: for who counts.
func (m *Message) First() bool { return m.tries == 0 }
