package retained

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// scan is how many rows are read at once, and pageBytes how many bytes a Page has at most, but for its last message.
const (
	scan      = 256
	pageBytes = 256 << 10
)

// Page returns the next messages that a filter matches: at most most of them, of the products that may allows, with a topic behind after, ""
// being the start. Their order is that of products and topics. None is the end. It reads nothing for a filter that names a product which
// keeps nothing.
func (r *Retained) Page(ctx context.Context, filter, after string, most int, may func(product string) bool) ([]server.Message, error) {
	product, ok := productOf(filter)
	if !ok {
		return nil, nil
	}
	if product != "" {
		if u, err := r.usage(ctx, product); err != nil || u.count <= 0 || !may(product) {
			return nil, err
		}
	}
	p := &reading{r: r, most: most, take: func(product, name string) bool { return topic.Match(filter, name) && may(product) }}
	err := p.read(ctx, product, filter, after)
	r.metrics.sent.Add(float64(len(p.list)))
	return p.list, err
}

// reading is a page as it grows.
type reading struct {
	r     *Retained
	most  int
	take  func(product, name string) bool
	list  []server.Message
	bytes int
}

func (p *reading) full() bool { return len(p.list) >= p.most || p.bytes >= pageBytes }

// read reads what a filter matches behind after.
func (p *reading) read(ctx context.Context, product, filter, after string) error {
	prefix, wild := literal(filter)
	if !wild {
		if after != "" {
			return nil
		}
		return p.walk(ctx, &span{product, filter, filter}, after)
	}
	if parent, hash := strings.CutSuffix(filter, "/#"); hash && len(parent) == len(prefix)-1 && after == "" { // "a/#" is for "a", too
		if err := p.walk(ctx, &span{product, parent, parent}, ""); err != nil {
			return err
		}
	}
	return p.walk(ctx, &span{product, prefix, prefix + "\U0010FFFF"}, after)
}

// literal is what all topics begin with that a filter matches.
func literal(filter string) (prefix string, wild bool) {
	if at := strings.IndexAny(filter, "+#"); at >= 0 {
		return filter[:at], true
	}
	return filter, false
}

// productOf is the product that a filter names, "" when that is a wildcard. ok is false for one that matches no topic of a device.
func productOf(filter string) (product string, ok bool) {
	levels := strings.SplitN(filter, "/", 4)
	if levels[0] == "#" || levels[0] == "+" && len(levels) > 1 {
		return "", true
	}
	if levels[0] != "" || len(levels) < 2 {
		return "", false
	}
	product = levels[1]
	if product == "$system" {
		if len(levels) < 3 {
			return "", false
		}
		product = levels[2]
	}
	if product == "+" || product == "#" {
		return "", true
	}
	return product, product != ""
}

// span is a range of topics, both ends included, of one product or of all.
type span struct{ product, from, to string }

// walk reads the rows of a span behind after until the page is full.
func (p *reading) walk(ctx context.Context, s *span, after string) error {
	at := place{s.product, after}
	if s.product == "" && after != "" {
		at.product, _ = productOf(after)
	}
	for !p.full() {
		n, err := p.rows(ctx, s, &at)
		if err != nil {
			return fmt.Errorf("read retained messages: %w", err)
		}
		if n < scan {
			return nil
		}
	}
	return nil
}

// place is where a row is in the order of all.
type place struct{ product, topic string }

// rows reads the rows behind at and moves it. It returns how many there were, scan if it did not read all.
func (p *reading) rows(ctx context.Context, s *span, at *place) (n int, err error) {
	which, args := `product = ? AND topic > ?`, []any{at.product, at.topic}
	if s.product == "" {
		which = `(product, topic) > (?, ?)`
	}
	rows, err := p.r.Store.Query(ctx, `SELECT product, topic, payload, qos, properties, expires_at FROM retained WHERE `+which+
		` AND topic >= ? AND topic <= ? AND (expires_at = 0 OR expires_at > ?) ORDER BY product, topic LIMIT ?`,
		append(args, s.from, s.to, p.r.now().UnixMilli(), scan)...)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		if p.full() {
			return scan, nil
		}
		n++
		m := server.Message{Retain: true, Kept: true}
		var qos, until int64
		var properties []byte
		if err := rows.Scan(&at.product, &m.Topic, &m.Payload, &qos, &properties, &until); err != nil {
			return n, err
		}
		at.topic = m.Topic
		if !p.take(at.product, m.Topic) {
			continue
		}
		m.QoS, m.Properties = byte(qos), packet.Properties(properties)
		if until != 0 {
			m.Expiry = time.UnixMilli(until)
		}
		p.list = append(p.list, m)
		p.bytes += len(m.Topic) + len(m.Payload) + len(m.Properties)
	}
	return n, nil
}
