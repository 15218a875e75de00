package depot

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/device-sdk/update"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/message"
)

// TestRestartsWhileTheHubIsAway: what a sub-device has taken is not taken back, however often the gateway starts before the hub can be told.
func TestRestartsWhileTheHubIsAway(t *testing.T) {
	image := []byte("image of default 2.0")
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(image))
	}))
	t.Cleanup(srv.Close)
	m := &meter{t: t, bad: map[string]bool{}}
	m.w = newTestWard(t, m.take, Module{Name: "default", Module: update.Module{Version: "1.0"}}, Module{Name: "radio", Module: update.Module{Version: "1.0"}})
	sum := md5.Sum(image)
	offer, err := message.EncodeOTA(codec.JSON, message.OTAUpdateFirmware, offer{Module: "default", Version: "2.0", URL: srv.URL, MD5: hex.EncodeToString(sum[:]), Size: int64(len(image))})
	must(t, err)
	m.w.receive(offer)
	must(t, m.w.once(t.Context())) // until it is to be handed over
	for n := range 8 {
		before, err := m.w.shelf.Load(update.PlanRecord)
		must(t, err)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- m.w.once(ctx) }()
		deadline := time.Now().Add(time.Minute)
		for {
			now, err := m.w.shelf.Load(update.PlanRecord)
			must(t, err)
			p, err := update.ParsePlanStatus(now)
			must(t, err)
			if p == nil || p.Phase == "settled" || p.Phase == "reverting" {
				t.Fatalf("start %d: %+v", n, p)
			}
			if p.Phase == "trial" && !bytes.Equal(now, before) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("start %d: %+v", n, p)
			}
			time.Sleep(time.Millisecond)
		}
		stop()
		must(t, <-ended)
	}
}
