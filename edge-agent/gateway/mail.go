package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// What waits for one sub-device at most, as at the hub: what is more costs the oldest, and what is older is dropped.
const (
	maxMail      = 100
	maxMailBytes = 1 << 20
	mailLast     = 72 * time.Hour
)

// MaxMail bounds what waits for all sub-devices together, in bytes of payloads; what is more is refused.
const MaxMail = 16 << 20

// letter is a message that waits for a sub-device. On the disk it is a line of JSON, and the payload behind it.
type letter struct {
	Topic   string `json:"topic"`
	Payload []byte `json:"-"`
	QoS     byte   `json:"qos"`
	Time    int64  `json:"time"` // when it came, Unix seconds
	number  uint64
}

func (l *letter) encode() ([]byte, error) {
	b, err := json.Marshal(l)
	return append(append(b, '\n'), l.Payload...), err
}

func (l *letter) decode(b []byte) error {
	head, payload, ok := bytes.Cut(b, []byte("\n"))
	if !ok {
		return errors.New("gateway: a letter without its end")
	}
	l.Payload = payload
	return json.Unmarshal(head, l)
}

func (l *letter) old(now time.Time) bool { return now.Sub(time.Unix(l.Time, 0)) > mailLast }

func mailKey(d ident.Device, number uint64) string {
	return fmt.Sprintf("%s%s/%016x", bucketMail, d.ClientID(), number)
}

// recall reads one letter of the Bucket. One of a sub-device that is not served any more goes.
func (g *Gateway) recall(key string, value []byte) {
	part := strings.Split(key, "/")
	if len(part) != 3 {
		return
	}
	d, err := ident.ParseClientID(part[1])
	number, err2 := strconv.ParseUint(part[2], 16, 64)
	l := letter{number: number}
	err = errors.Join(err, err2, l.decode(value))
	m := g.members[d]
	if err != nil || m == nil || m.barred() || l.old(time.Now()) {
		if err != nil {
			g.log.Error("what waits for a sub-device can't be read", "key", key, "err", err)
		}
		g.cfg.State.Put(key, nil)
		return
	}
	g.addLocked(m, l)
	m.next = max(m.next, number+1)
}

func (g *Gateway) addLocked(m *member, l letter) {
	m.mail = append(m.mail, l)
	m.mailBytes += len(l.Payload)
	g.mailBytes += len(l.Payload)
}

// keep puts a message by for a sub-device that is away, or whose letters are not all on their way yet; kept is false when it is there or
// nothing is kept for it. A command, or a property that is set, is worth nothing later, and is not kept.
func (g *Gateway) keep(m *member, name string, payload []byte, qos byte) (kept bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if m.online || len(m.said.Filters) == 0 {
		return false, nil
	}
	switch {
	case !slices.ContainsFunc(m.said.Filters, func(s server.Subscription) bool { return topic.Match(s.Filter, name) }):
		return true, server.ErrNotSubscribed
	case qos == 0 || passing(name):
		return true, server.ErrOffline
	case g.mailBytes+len(payload) > MaxMail || len(payload) > maxMailBytes:
		return true, server.ErrFull
	}
	l := letter{Topic: name, Payload: payload, QoS: qos, Time: time.Now().Unix(), number: m.next}
	b, err := l.encode()
	if err == nil {
		err = g.cfg.State.PutNow(mailKey(m.device, l.number), b)
	}
	if err != nil {
		return true, fmt.Errorf("keep a message for %s: %w", m.device, err)
	}
	l.Payload = slices.Clone(payload)
	m.next++
	g.addLocked(m, l)
	for len(m.mail) > maxMail || m.mailBytes > maxMailBytes {
		g.log.Warn("a message that waited for a sub-device is dropped: there are too many", "product", m.device.Product, "device", m.device.SN)
		g.dropLocked(m, m.mail[0].number)
	}
	return true, nil
}

// passing tells whether the topic's messages are of no use later.
func passing(name string) bool {
	t, err := topic.Parse(name)
	return err != nil || t.Kind == topic.Command || t.Kind == topic.PropertySet
}

// dropLocked forgets a letter.
func (g *Gateway) dropLocked(m *member, number uint64) {
	i := slices.IndexFunc(m.mail, func(l letter) bool { return l.number == number })
	if i < 0 {
		return
	}
	m.mailBytes -= len(m.mail[i].Payload)
	g.mailBytes -= len(m.mail[i].Payload)
	m.mail = slices.Delete(m.mail, i, i+1)
	g.cfg.State.Put(mailKey(m.device, number), nil)
}

func (g *Gateway) discardLocked(m *member) {
	for len(m.mail) > 0 {
		g.dropLocked(m, m.mail[0].number)
	}
}

// hand sends what waits to the session that has begun, in order; then the sub-device is online.
func (g *Gateway) hand(s *server.Session, m *member) {
	for after := uint64(0); ; {
		g.mu.Lock()
		var list []letter
		for _, l := range m.mail {
			if l.number > after {
				list = append(list, l)
			}
		}
		if len(list) == 0 {
			m.online = true
			g.mu.Unlock()
			return
		}
		g.mu.Unlock()
		for _, l := range list {
			after = l.number
			err := server.ErrExpired
			if !l.old(time.Now()) {
				err = s.Send(server.Message{Topic: l.Topic, Payload: l.Payload, QoS: l.QoS, Tag: l.number, Firm: true})
			}
			if errors.Is(err, server.ErrNotSubscribed) || errors.Is(err, server.ErrExpired) || errors.Is(err, server.ErrTooLarge) {
				g.mu.Lock()
				g.dropLocked(m, l.number)
				g.mu.Unlock()
			}
		}
	}
}
