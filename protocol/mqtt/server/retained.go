package server

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hawser-iot/hawser/protocol/mqtt/trie"
)

// ErrRetainedFull is returned by RetainedStore.Keep when there is no room.
var ErrRetainedFull = errors.New("mqtt server: too many retained messages")

// RetainedStore keeps retained messages in memory, for owners that need no more. The zero value keeps any number.
type RetainedStore struct {
	// Max and MaxBytes bound the messages and the bytes of their topics, payloads and properties; 0 = no bound.
	Max, MaxBytes int

	mu    sync.Mutex // held while something changes; guards bytes
	tree  trie.Tree[*Message]
	bytes int
}

// Keep takes m as the retained message of its topic, instead of an earlier one; an empty payload removes that. It copies what it
// keeps. A topic of more than trie.MaxLevels levels is refused with ErrRetainedFull, too.
func (r *RetainedStore) Keep(m *Message) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	full, have := false, r.tree.Len()
	fits := r.tree.Update(m.Topic, func(old *Message, ok bool) (*Message, bool) {
		before := 0
		if ok {
			before = weight(old)
		}
		if len(m.Payload) == 0 {
			r.bytes -= before
			return nil, false
		}
		grown := r.bytes - before + weight(m)
		if r.MaxBytes > 0 && grown > r.MaxBytes || !ok && r.Max > 0 && have >= r.Max {
			full = true
			return old, ok
		}
		r.bytes = grown
		return &Message{Topic: strings.Clone(m.Topic), Payload: bytes.Clone(m.Payload), QoS: m.QoS, Expiry: m.Expiry,
			Properties: forwarded(nil, m.Properties)}, true
	})
	if full || !fits {
		return ErrRetainedFull
	}
	return nil
}

func weight(m *Message) int { return len(m.Topic) + len(m.Payload) + len(m.Properties) }

// Each calls f for the retained messages that a filter matches, in the order of their topics, those left out whose time is over.
func (r *RetainedStore) Each(filter string, f func(*Message)) {
	for _, m := range r.behind(filter, "") {
		one := *m
		f(&one)
	}
}

// behind returns what a filter matches with a topic greater than after, in order.
func (r *RetainedStore) behind(filter, after string) (found []*Message) {
	now := time.Now()
	r.tree.Select(filter, func(m *Message) bool {
		if m.Topic > after && (m.Expiry.IsZero() || now.Before(m.Expiry)) {
			found = append(found, m)
		}
		return true
	})
	slices.SortFunc(found, func(a, b *Message) int { return strings.Compare(a.Topic, b.Topic) })
	return found
}

// Trim removes what has expired and returns how much that was.
func (r *RetainedStore) Trim(now time.Time) (removed int) {
	var over []string
	r.tree.All(func(m *Message) bool {
		if !m.Expiry.IsZero() && !now.Before(m.Expiry) {
			over = append(over, m.Topic)
		}
		return true
	})
	for _, topic := range over {
		if m, ok := r.tree.Get(topic); ok && !m.Expiry.IsZero() && !now.Before(m.Expiry) {
			_ = r.Keep(&Message{Topic: topic})
			removed++
		}
	}
	return removed
}

// Len is how many messages are kept.
func (r *RetainedStore) Len() int { return r.tree.Len() }

// Retained implements Retainer, for owners that embed it.
func (r *RetainedStore) Retained(_ *Session, sub Subscription, after string, most int) (page []Message, err error) {
	found := r.behind(sub.Filter, after)
	for _, m := range found[:min(most, len(found))] {
		page = append(page, *m)
	}
	return page, nil
}

var _ Retainer = (*RetainedStore)(nil)
