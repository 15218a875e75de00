package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hawser-iot/hawser/cloud/apiclient"
	"github.com/hawser-iot/hawser/cloud/apitype"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// watcher follows the hub's events and keeps what the view shows.
type watcher struct {
	api    *apiclient.Client
	cancel context.CancelFunc
	ended  chan struct{}

	// mu guards the fields below.
	mu      sync.Mutex
	rows    map[ident.Device]*row
	order   []ident.Device
	news    []string // newest last, bounded
	printed int      // news so far, dropped ones too
}

// row is one device in the view.
type row struct {
	id       ident.Device
	what     string // sensor, gateway, meter
	online   bool
	values   map[string]string
	messages int64 // that came up, in all
	before   int64 // at the last rate
	rate     float64
	last     string // the last thing that was not a property post
}

// keepNews bounds the news that wait for the view; the oldest go first.
const keepNews = 200

// watchEvents opens the hub's event stream. It is opened again when it breaks,
// until stop.
func watchEvents(ctx context.Context, api *apiclient.Client, w *world) (*watcher, error) {
	ctx, cancel := context.WithCancel(ctx)
	v := &watcher{api: api, cancel: cancel, ended: make(chan struct{}), rows: make(map[ident.Device]*row)}
	add := func(what string, as ...account) {
		for _, a := range as {
			v.rows[a.id] = &row{id: a.id, what: what, values: make(map[string]string)}
			v.order = append(v.order, a.id)
		}
	}
	add("sensor", w.sensors...)
	if len(w.meters) > 0 {
		add("gateway", w.gateway)
	}
	add("meter", w.meters...)
	add("yours", w.hands...)
	resp, err := v.open(ctx, "")
	if err != nil {
		cancel()
		return nil, err
	}
	go v.follow(ctx, resp)
	return v, nil
}

func (v *watcher) stop() {
	v.cancel()
	<-v.ended
}

func (v *watcher) open(ctx context.Context, lastID string) (*http.Response, error) {
	params := &apitype.StreamEventsParams{}
	if lastID != "" {
		params.LastEventID = &lastID
	}
	resp, err := v.api.StreamEvents(ctx, params)
	if err != nil {
		return nil, fmt.Errorf("watch the hub: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("watch the hub: it answers %s", resp.Status)
	}
	return resp, nil
}

func (v *watcher) follow(ctx context.Context, resp *http.Response) {
	defer close(v.ended)
	var lastID string
	for {
		if resp != nil {
			lastID = v.read(resp, lastID)
			resp.Body.Close()
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return
		}
		resp, _ = v.open(ctx, lastID) // nil: tried again a second later
	}
}

// read takes events until the stream ends and returns the id of the last one.
func (v *watcher) read(resp *http.Response, lastID string) string {
	sc := bufio.NewScanner(resp.Body)
	sc.Buffer(nil, 4<<20)
	for sc.Scan() {
		data, ok := strings.CutPrefix(sc.Text(), "data:")
		if !ok {
			continue
		}
		var e apitype.Event
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			continue
		}
		v.take(e)
		lastID = strconv.FormatInt(e.ID, 10)
	}
	return lastID
}

func (v *watcher) take(e apitype.Event) {
	v.mu.Lock()
	defer v.mu.Unlock()
	r := v.rows[ident.Device{Product: e.ProductSN, SN: e.DeviceSN}]
	if r == nil {
		return
	}
	t, err := topic.Parse(e.Topic)
	if err != nil {
		return
	}
	if t.Kind.Direction()&topic.Pub != 0 && e.MessageID != "" {
		r.messages++
	}
	var body struct {
		Payload json.RawMessage `json:"payload"`
		Status  string          `json:"Status"`
	}
	if err := json.Unmarshal(e.Data, &body); err != nil {
		return
	}
	switch t.Kind {
	case topic.DeviceStatus:
		r.online = body.Status == message.StatusOnline
		v.tellLocked(r, e, strings.ToLower(body.Status))
	case topic.PropertyPost:
		r.post(body.Payload)
	case topic.EventPost, topic.Command, topic.CommandReply, topic.PropertySet, topic.Custom:
		r.last = fmt.Sprintf("%s %s", t.Kind, short(body.Payload))
		v.tellLocked(r, e, r.last)
	}
}

// post takes the values of a property post.
func (r *row) post(payload []byte) {
	var post message.PropertyPost
	if json.Unmarshal(payload, &post) != nil {
		return
	}
	for k, p := range post.Property {
		r.values[k] = string(p.Value)
	}
}

func (v *watcher) tellLocked(r *row, e apitype.Event, what string) {
	v.news = append(v.news, fmt.Sprintf("%s  %-12s %s", e.Time.Local().Format(time.TimeOnly), r.id.SN, what))
	v.printed++
	if len(v.news) > keepNews {
		v.news = slices.Delete(v.news, 0, len(v.news)-keepNews)
	}
}

// snapshot copies the rows, with the rate since the last call.
func (v *watcher) snapshot(since time.Duration) []row {
	v.mu.Lock()
	defer v.mu.Unlock()
	var rows []row
	for _, id := range v.order {
		r := v.rows[id]
		if since > 0 {
			// Smoothed, for a device posts every second or two.
			now := float64(r.messages-r.before) / since.Seconds()
			r.rate += (now - r.rate) * 0.3
			r.before = r.messages
		}
		c := *r
		c.values = make(map[string]string, len(r.values))
		for k, val := range r.values {
			c.values[k] = val
		}
		rows = append(rows, c)
	}
	return rows
}

// newsSince returns the news after the first n, and how many there were.
func (v *watcher) newsSince(n int) ([]string, int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	fresh := min(v.printed-n, len(v.news))
	return slices.Clone(v.news[len(v.news)-fresh:]), v.printed
}

// short makes a payload fit a line.
func short(b []byte) string {
	s := strings.Join(strings.Fields(string(b)), " ")
	if r := []rune(s); len(r) > 70 {
		return string(r[:69]) + "…"
	}
	return s
}
