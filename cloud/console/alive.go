package console

import (
	"net/http"
	"time"
)

const (
	// maxAlive is how many pages at once may hear that the hub lives; further ones hear of its end when they next ask for something.
	maxAlive = 2000
	// beat is how often an idle stream shows that it lives; proxies give up after 30 s or more.
	beat = 15 * time.Second
	// writeTimeout is how long a beat may take to leave.
	writeTimeout = 30 * time.Second
)

// serveAlive answers a stream on which nothing comes: that it ends tells an open page that the hub went away, so that no page has to ask. It tells
// nothing of the hub and costs it a goroutine, unlike a stream of events, which has the hub make them.
func (c *Console) serveAlive(w http.ResponseWriter, r *http.Request) {
	select {
	case c.alive <- struct{}{}:
		defer func() { <-c.alive }()
	default:
		http.Error(w, "too many pages", http.StatusTooManyRequests)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would hold it back
	w.WriteHeader(http.StatusOK)
	rc := http.NewResponseController(w)
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for {
		if rc.SetWriteDeadline(time.Now().Add(writeTimeout)) != nil {
			return
		}
		if _, err := w.Write([]byte(":\n\n")); err != nil || rc.Flush() != nil {
			return
		}
		select {
		case <-tick.C:
		case <-c.done:
			return
		case <-r.Context().Done():
			return
		}
	}
}
