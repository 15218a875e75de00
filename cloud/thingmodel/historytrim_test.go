package thingmodel

import (
	"context"
	"log/slog"
	"strconv"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/cloud/thingmodel/series"
)

// TestHistoryTrimmer: the files have of each device what its product keeps, one by age, one by number, one as the hub does.
func TestHistoryTrimmer(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := newRig(t, db)
		reg, dir, now := r.things.Registry, t.TempDir(), time.Now()
		history := func(f func(*series.Series)) { // its end seals the segment
			s, err := series.Open(series.Config{Dir: dir, MaxAge: -1, MaxBytes: -1}, slog.New(slog.DiscardHandler), nil)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			end := make(chan error, 1)
			go func() { end <- s.Run(ctx) }()
			f(s)
			cancel()
			if err := <-end; err != nil {
				t.Error(err)
			}
		}
		days, count := int64(3), int64(4)
		var devices [3]int64
		for i, set := range []registry.Settings{{HistoryDays: &days}, {HistoryCount: &count}, {}} {
			p, err := reg.CreateProduct(t.Context(), registry.NewProduct{Name: "p" + strconv.Itoa(i)})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := reg.UpdateProduct(t.Context(), p.SN, registry.ProductUpdate{Settings: &set}); err != nil {
				t.Fatal(err)
			}
			d, err := reg.CreateDevice(t.Context(), registry.NewDevice{Product: p.SN})
			if err != nil {
				t.Fatal(err)
			}
			devices[i] = d.ID
		}
		history(func(s *series.Series) {
			for hour := range 240 {
				for _, d := range devices {
					report := s.Begin(d)
					report.Add("t", now.Add(-time.Duration(hour)*time.Hour-time.Minute).UnixMilli(), []byte(strconv.Itoa(hour)))
					report.Keep()
				}
			}
		})
		history(func(s *series.Series) {
			trimmer := NewHistoryTrimmer(db, reg, s)
			for _, tt := range []struct {
				after time.Duration
				want  int
			}{{0, 168 + 236}, {time.Hour, 0}, {7 * time.Hour, 0}} {
				if removed, err := trimmer.Trim(t.Context(), now.Add(tt.after)); err != nil || removed != tt.want {
					t.Errorf("after %v: removed %d, %v, want %d", tt.after, removed, err, tt.want)
				}
			}
			for i, want := range []int{72, 4, 240} {
				p, err := s.Points(t.Context(), series.Query{Device: devices[i], Identifiers: []string{"t"}, Limit: 1000})
				if err != nil || len(p.Points) != want || string(p.Points[0].Value) != "0" {
					t.Errorf("product %d: %d values, %v, want the newest %d", i, len(p.Points), err, want)
				}
			}
		})
	})
}
