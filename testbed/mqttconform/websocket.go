package mqttconform

import (
	"bufio"

	"github.com/gorilla/websocket"
)

// Chapter 6: MQTT over WebSocket. These checks use the target's WebSocket, whatever carries the others.

func (r *run) dialWebSocket() (*client, *wsConn) {
	ws, err := dialWebSocket(r.target.WebSocket)
	if err != nil {
		r.failf("connect: %v", err)
	}
	c := &client{r: r, level: r.level, nc: ws, in: bufio.NewReader(ws)}
	r.open = append(r.open, c)
	return c, ws
}

// binaryFrames: packets travel in binary frames only.
func binaryFrames(r *run) {
	c, ws := r.dialWebSocket()
	if err := ws.WriteMessage(websocket.TextMessage, r.hello(con{id: r.id("a"), clean: true})); err != nil {
		r.failf("%v", err)
	}
	c.refused("a text frame")
}

// framesAreNoPackets: frames cut packets and join them as they like.
func framesAreNoPackets(r *run) {
	c, _ := r.dialWebSocket()
	for _, b := range r.hello(con{id: r.id("a"), clean: true}) {
		c.send([]byte{b})
	}
	if a := c.connack(c.want(tConnack)); a.code != 0 {
		r.failf("CONNACK with code %#x", a.code)
	}
	m := pub{topic: r.topic("a"), qos: 1, id: 3}.bytes(r.level)
	c.send(pingreq, m, pingreq, m[:4])
	c.send(m[4:], pingreq)
	for range 3 {
		c.want(tPingresp)
	}
	c.wantAck(tPuback, 3)
	c.wantAck(tPuback, 3)
}

// subprotocol: the server says mqtt.
func subprotocol(r *run) {
	if _, ws := r.dialWebSocket(); ws.subprotocol != "mqtt" {
		r.failf("subprotocol %q, want mqtt", ws.subprotocol)
	}
}
