package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/hawser-iot/hawser/cloud/account"
	"github.com/hawser-iot/hawser/cloud/apitype"
	"github.com/hawser-iot/hawser/cloud/monitor"
)

// Feed is what the API needs of the monitor. Its channel drops the oldest event when the reader is slow; whole tells that a
// reader who comes back has missed nothing.
type Feed interface {
	Resume(f monitor.Filter) (events <-chan monitor.Event, whole bool, cancel func())
	// Done is closed when the hub stops: streams end then.
	Done() <-chan struct{}
}

// eventWriteTimeout is how long one event may take to leave: a reader that does not read for so long is gone.
const eventWriteTimeout = 30 * time.Second

func (s *server) StreamEvents(ctx context.Context, r apitype.StreamEventsRequestObject) (apitype.StreamEventsResponseObject, error) {
	var f monitor.Filter
	if r.Params.Product != nil {
		f.Product = *r.Params.Product
	}
	if r.Params.Device != nil {
		f.Device = *r.Params.Device
		if f.Product == "" {
			return nil, invalid("device", "device: wants product too, a deviceSN is unique in its product only")
		}
	}
	if r.Params.Type != nil {
		for _, t := range *r.Params.Type {
			if !t.Valid() {
				return nil, invalid("type", "type: there is no %q", string(t))
			}
			f.Types = append(f.Types, string(t))
		}
	}
	if r.Params.LastEventID != nil && *r.Params.LastEventID != "" {
		id, err := strconv.ParseInt(*r.Params.LastEventID, 10, 64)
		if err != nil {
			return nil, invalid("Last-Event-ID", "Last-Event-ID: is no id of an event")
		}
		f.After = id
	}
	return &eventStream{ctx: ctx, feed: s.Feed, metrics: s.metrics, filter: f, visible: s.visible(ctx), heartbeat: s.cfg.Heartbeat}, nil
}

// visible tells which events the caller may see: those of the products that they may read the devices of.
func (s *server) visible(ctx context.Context) func(*monitor.Event) bool {
	p := account.From(ctx)
	if p.Everywhere {
		return func(*monitor.Event) bool { return true }
	}
	return func(ev *monitor.Event) bool {
		product, err := s.Products.Product(ctx, ev.Product)
		return err == nil && p.Sees(product.Project, product.SN, account.DeviceRead)
	}
}

// eventStream is an answer that lasts until the client goes or the hub stops; both end ctx.
type eventStream struct {
	ctx       context.Context
	feed      Feed
	metrics   *metrics
	filter    monitor.Filter
	visible   func(*monitor.Event) bool
	heartbeat time.Duration
}

func (e *eventStream) VisitStreamEventsResponse(w http.ResponseWriter) error {
	events, whole, cancel := e.feed.Resume(e.filter)
	defer cancel()
	streamHead(w)
	beat := time.NewTicker(e.heartbeat)
	defer beat.Stop()
	// Tells the client at once that it is connected: events may be long in coming.
	err := send(w, []byte(": connected\n\n"))
	if err == nil && !whole {
		err = sendGap(w, gap{Reason: "resume"})
	}
	for seq := int64(0); err == nil; {
		select {
		case <-e.ctx.Done():
			return e.ended("gone")
		case <-beat.C:
			err = send(w, []byte(":\n\n"))
		case ev, ok := <-events:
			if !ok {
				return e.ended("stopped")
			}
			if missed := ev.Seq - seq - 1; missed > 0 {
				err = sendGap(w, gap{Reason: "slow", Missed: missed})
			}
			seq = ev.Seq
			if err == nil && e.visible(&ev) {
				err = sendEvent(w, &ev)
			}
		}
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return e.ended("slow")
	}
	return e.ended("gone")
}

// ended counts the end of a stream; there is nobody to tell.
func (e *eventStream) ended(reason string) error {
	e.metrics.streams.WithLabelValues(reason).Inc()
	return nil
}

// gap tells a reader that events are missing here: as many as it was too slow for, or nobody knows how many when it came back
// too late.
type gap struct {
	Reason string `json:"reason"`
	Missed int64  `json:"missed,omitempty"`
}

func sendGap(w http.ResponseWriter, g gap) error {
	data, err := json.Marshal(g)
	if err != nil {
		return err
	}
	return send(w, fmt.Appendf(nil, "event: gap\ndata: %s\n\n", data))
}

// streamHead begins a stream of server-sent events.
func streamHead(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would hold events back
	w.WriteHeader(http.StatusOK)
}

func sendEvent(w http.ResponseWriter, ev *monitor.Event) error {
	data, err := json.Marshal(eventOf(ev))
	if err != nil {
		return err
	}
	return send(w, fmt.Appendf(nil, "id: %d\nevent: %s\ndata: %s\n\n", ev.ID, ev.Type, data))
}

func send(w http.ResponseWriter, b []byte) error {
	rc := http.NewResponseController(w)
	if err := rc.SetWriteDeadline(time.Now().Add(eventWriteTimeout)); err != nil {
		return err
	}
	if _, err := w.Write(b); err != nil {
		return err
	}
	return rc.Flush()
}

func eventOf(ev *monitor.Event) apitype.Event {
	out := apitype.Event{ID: ev.ID, Time: ev.Time.UTC(), Type: apitype.EventType(ev.Type), ProductSN: ev.Product, DeviceSN: ev.Device,
		Topic: ev.Topic, Data: apitype.JSONValue(ev.Data)}
	if ev.MessageID != 0 {
		out.MessageID = ev.MessageID.String()
	}
	return out
}
