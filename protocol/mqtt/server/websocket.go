package server

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

var errText = errors.New("MQTT over WebSocket takes binary frames only")

// WebSocket returns a handler that upgrades to MQTT over WebSocket (MQTT 3.1.1, section 6) with the subprotocols
// "mqtt" and "mqttv3.1", from any origin: a session is made by credentials, not by cookies. A client that names no
// subprotocol is taken too.
func (s *Server) WebSocket() http.Handler {
	up := &websocket.Upgrader{
		HandshakeTimeout: s.cfg.ConnectTimeout,
		ReadBufferSize:   1 << 10,
		WriteBufferSize:  4 << 10,
		WriteBufferPool:  &sync.Pool{},
		Subprotocols:     []string{"mqtt", "mqttv3.1"},
		CheckOrigin:      func(*http.Request) bool { return true },
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := up.Upgrade(w, r, nil)
		if err != nil {
			s.log.Debug("websocket upgrade refused", "remote", r.RemoteAddr, "err", err)
			return // Upgrade has answered
		}
		transport := "ws"
		if r.TLS != nil {
			transport = "wss"
		}
		s.serveConn(&wsConn{ws: ws, tls: r.TLS}, &transport)
	})
}

// wsConn makes a byte stream of a WebSocket: frames may split and join packets as they like.
type wsConn struct {
	ws  *websocket.Conn
	r   io.Reader // of the current frame
	tls *tls.ConnectionState

	mu    sync.Mutex // guards until
	until time.Time  // when writing ends, for the next Write
}

func (w *wsConn) Read(b []byte) (int, error) {
	for {
		if w.r == nil {
			kind, r, err := w.ws.NextReader()
			if err != nil {
				return 0, wsError(err)
			}
			if kind != websocket.BinaryMessage {
				return 0, endWith(CauseProtocol, errText)
			}
			w.r = r
		}
		n, err := w.r.Read(b)
		if errors.Is(err, io.EOF) {
			w.r, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, wsError(err)
		}
	}
}

// wsError makes a closing handshake the end of the stream.
func wsError(err error) error {
	var closed *websocket.CloseError
	if errors.As(err, &closed) {
		return io.EOF
	}
	return err
}

func (w *wsConn) Write(b []byte) (int, error) {
	w.mu.Lock()
	until := w.until
	w.mu.Unlock()
	if err := w.ws.SetWriteDeadline(until); err != nil {
		return 0, err
	}
	if err := w.ws.WriteMessage(websocket.BinaryMessage, b); err != nil {
		return 0, err
	}
	return len(b), nil
}

// Close ends the connection without a closing handshake, which could block.
func (w *wsConn) Close() error                      { return w.ws.Close() }
func (w *wsConn) LocalAddr() net.Addr               { return w.ws.LocalAddr() }
func (w *wsConn) RemoteAddr() net.Addr              { return w.ws.RemoteAddr() }
func (w *wsConn) SetReadDeadline(t time.Time) error { return w.ws.SetReadDeadline(t) }

// SetWriteDeadline may be called while another goroutine writes, which the WebSocket's own does not allow: it reaches the socket at
// once, and the WebSocket with the next Write.
func (w *wsConn) SetWriteDeadline(t time.Time) error {
	w.mu.Lock()
	w.until = t
	w.mu.Unlock()
	return w.ws.NetConn().SetWriteDeadline(t)
}

func (w *wsConn) SetDeadline(t time.Time) error {
	return errors.Join(w.SetReadDeadline(t), w.SetWriteDeadline(t))
}
