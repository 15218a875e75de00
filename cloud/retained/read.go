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

// page is how many rows are read at once.
const page = 256

// Each calls f for each message that a filter matches, of the products that may allows. It reads nothing for a filter that names
// a product which keeps nothing.
func (r *Retained) Each(ctx context.Context, filter string, may func(product string) bool, f func(*server.Message)) error {
	product, ok := productOf(filter)
	if !ok {
		return nil
	}
	if product != "" {
		if u, err := r.usage(ctx, product); err != nil || u.count <= 0 || !may(product) {
			return err
		}
	}
	list := func(s span) error {
		s.product = product
		return r.walk(ctx, &s, func(product string, m *server.Message) {
			if topic.Match(filter, m.Topic) && may(product) {
				r.metrics.sent.Inc()
				f(m)
			}
		})
	}
	prefix, wild := literal(filter)
	if !wild {
		return list(span{from: filter, to: filter})
	}
	if parent, hash := strings.CutSuffix(filter, "/#"); hash && len(parent) == len(prefix)-1 {
		if err := list(span{from: parent, to: parent}); err != nil { // "a/#" is for "a", too
			return err
		}
	}
	return list(span{from: prefix, to: prefix + "\U0010FFFF"})
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

// walk calls f for the rows of a span, a page at a time, so that no reading of the store is held open while f sends.
func (r *Retained) walk(ctx context.Context, s *span, f func(product string, m *server.Message)) error {
	lastProduct, last := s.product, ""
	for {
		rows, err := r.page(ctx, s, lastProduct, last)
		if err != nil {
			return fmt.Errorf("read retained messages: %w", err)
		}
		for i := range rows {
			f(rows[i].product, &rows[i].m)
		}
		if len(rows) < page {
			return nil
		}
		end := &rows[len(rows)-1]
		lastProduct, last = end.product, end.m.Topic
	}
}

type row struct {
	product string
	m       server.Message
}

// page reads the rows behind the last one.
func (r *Retained) page(ctx context.Context, s *span, lastProduct, last string) (list []row, err error) {
	which, args := `product = ? AND topic > ?`, []any{lastProduct, last}
	if s.product == "" {
		which = `(product, topic) > (?, ?)`
	}
	now := r.now()
	rows, err := r.Store.Query(ctx, `SELECT product, topic, payload, qos, properties, expires_at FROM retained WHERE `+which+
		` AND topic >= ? AND topic <= ? AND (expires_at = 0 OR expires_at > ?) ORDER BY product, topic LIMIT ?`,
		append(args, s.from, s.to, now.UnixMilli(), page)...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	for rows.Next() {
		one := row{m: server.Message{Retain: true}}
		var qos, until int64
		var properties []byte
		if err := rows.Scan(&one.product, &one.m.Topic, &one.m.Payload, &qos, &properties, &until); err != nil {
			return list, err
		}
		one.m.QoS, one.m.Properties = byte(qos), packet.Properties(properties)
		if until != 0 {
			one.m.Expiry = time.UnixMilli(until)
		}
		list = append(list, one)
	}
	return list, nil
}
