package presence

import (
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/protocol/mqtt/server"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// BenchmarkPresence is a login and its end, with everything that is stored of them, while 200 devices come and go at once.
// The µs are CPU of this process: on PostgreSQL the client's share only.
func BenchmarkPresence(b *testing.B) {
	for _, engine := range []struct {
		name string
		open func(testing.TB) *store.DB
	}{{"sqlite", storetest.SQLite}, {"postgres", storetest.Postgres}} {
		b.Run(engine.name, func(b *testing.B) { benchPresence(b, engine.open(b)) })
	}
}

func benchPresence(b *testing.B, db *store.DB) {
	f := newFixture(b, db)
	devices, err := f.Registry.CreateDevices(b.Context(), f.product.SN, 5000, nil)
	if err != nil {
		b.Fatal(err)
	}
	logins := make([]Login, len(devices))
	for i, d := range devices {
		logins[i] = Login{Device: d, Product: f.product, Perms: topic.Compile(d.Identity, nil, topic.Scope{}), KeepAlive: 60, Remote: "192.0.2.7:50123"}
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	start := cpu()
	b.ResetTimer()
	for range 200 {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				comeAndGo(b, f, logins[i%int64(len(logins))])
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64((cpu()-start).Microseconds())/float64(b.N), "cpu-µs/op")
}

func comeAndGo(b *testing.B, f *fixture, l Login) {
	var err error
	if l.Device, err = f.Registry.DeviceByID(b.Context(), l.Device.ID); err != nil { // as auth does
		b.Error(err)
		return
	}
	s, _, err := f.Connect(b.Context(), l)
	if err != nil {
		b.Error(err)
		return
	}
	f.Disconnect(s, server.CauseNetwork)
	if err := f.Store.Do(b.Context(), &store.Unit{Device: l.Device.ID}); err != nil { // behind the Offline
		b.Error(err)
	}
}

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // never fails
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
