package main

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// loadSpec is what the load generator's process is told on its first line.
type loadSpec struct {
	Addr    string
	TLS     bool
	Resume  bool // TLS sessions are resumed where they can be
	Clients []clientSpec
	QoS     byte
	Rate    int    // messages a second over all clients that publish
	Payload string // {n} becomes the message's number
	Flat    bool   // as fast as it is acknowledged, at QoS 1; Rate does not count
	Receipt bool   // latencies are from publish to receipt, by the first number in the payload, instead of to PUBACK
}

// counts is what the generator answers to "count": totals since it started,
// latencies since the last count.
type counts struct {
	Sent, Acked, Received int64
	P50, P99              time.Duration
	Lost                  int64 // connections that ended by themselves
}

type counters struct {
	sent, acked, received, lost atomic.Int64

	receipt bool
	sentAt  [1 << 16]atomic.Int64 // by number, when receipt

	mu        sync.Mutex // guards latencies
	latencies []time.Duration
}

func (c *counters) ack(d time.Duration) {
	c.acked.Add(1)
	if !c.receipt {
		c.took(d)
	}
}

func (c *counters) took(d time.Duration) {
	c.mu.Lock()
	c.latencies = append(c.latencies, d)
	c.mu.Unlock()
}

// receive counts a message; b is its packet from the packet id on.
func (c *counters) receive(b []byte) {
	c.received.Add(1)
	if !c.receipt {
		return
	}
	n, digits := 0, false
	for _, d := range b[2:] {
		if d >= '0' && d <= '9' {
			n, digits = n*10+int(d-'0'), true
		} else if digits {
			break
		}
	}
	c.took(time.Since(time.Unix(0, c.sentAt[n%len(c.sentAt)].Load())))
}

func (c *counters) snapshot() counts {
	c.mu.Lock()
	l := c.latencies
	c.latencies = nil
	c.mu.Unlock()
	s := counts{Sent: c.sent.Load(), Acked: c.acked.Load(), Received: c.received.Load(), Lost: c.lost.Load()}
	if len(l) > 0 {
		slices.Sort(l)
		s.P50, s.P99 = l[len(l)/2], l[len(l)*99/100]
	}
	return s
}

// generate is the load generator's process: it reads its spec, connects, says
// "connected", and then obeys start, stop and count on standard input until it
// is closed.
func generate(in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 64<<20)
	var spec loadSpec
	if !lines.Scan() {
		return fmt.Errorf("no load spec: %w", lines.Err())
	}
	if err := json.Unmarshal(lines.Bytes(), &spec); err != nil {
		return fmt.Errorf("load spec: %w", err)
	}
	count := &counters{receipt: spec.Receipt}
	clients, err := connectAll(spec, count)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "connected")
	stop := func() {}
	for lines.Scan() {
		switch lines.Text() {
		case "start":
			if stop = nil; spec.Flat {
				stop = startFlat(spec, clients, count)
			} else {
				stop = startPublishing(spec, clients, count)
			}
			fmt.Fprintln(out, "started")
		case "stop":
			stop()
			fmt.Fprintln(out, "stopped")
		case "count":
			if err := json.NewEncoder(out).Encode(count.snapshot()); err != nil {
				return err
			}
		}
	}
	return lines.Err()
}

func connectAll(spec loadSpec, count *counters) ([]*client, error) {
	clients := make([]*client, len(spec.Clients))
	var secure *tls.Config
	if spec.TLS {
		secure = &tls.Config{InsecureSkipVerify: true, ServerName: "localhost", CurvePreferences: []tls.CurveID{tls.X25519}} // as OpenSSL's clients of today
		if spec.Resume {
			secure.ClientSessionCache = tls.NewLRUClientSessionCache(0)
		}
	}
	var g errgroup.Group
	g.SetLimit(128)
	for i, cs := range spec.Clients {
		g.Go(func() (err error) {
			clients[i], err = dial(spec.Addr, secure, i, cs)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	for _, c := range clients {
		go func() {
			receive := c.receive
			if spec.Flat {
				receive = c.receiveFlat
			}
			if err := receive(count); count.lost.Add(1) == 1 {
				fmt.Fprintln(os.Stderr, "load: connection lost:", err)
			}
		}()
	}
	return clients, nil
}

// startPublishing sends at the spec's rate, round robin, until the returned
// function is called. Each tick sends what the clock says is due, so that a
// late tick does not lower the rate.
func startPublishing(spec loadSpec, clients []*client, count *counters) (stop func()) {
	publishers := slices.DeleteFunc(slices.Clone(clients), func(c *client) bool { return !c.spec.publishes() })
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		begin, n := time.Now(), 0
		for {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			for due := int(time.Since(begin).Seconds() * float64(spec.Rate)); n < due; n++ {
				if err := publishers[n%len(publishers)].publish(spec.QoS, count.next(spec)); err != nil {
					count.lost.Add(1)
				}
			}
		}
	}()
	return func() { close(done); <-ended }
}

// next is the payload of the next message.
func (c *counters) next(spec loadSpec) []byte {
	n := c.sent.Add(1)
	if c.receipt {
		c.sentAt[n%int64(len(c.sentAt))].Store(time.Now().UnixNano())
	}
	return []byte(strings.ReplaceAll(spec.Payload, "{n}", fmt.Sprint(n)))
}
