package provision_test

import (
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hawser-iot/hawser/cloud/broker"
	"github.com/hawser-iot/hawser/cloud/broker/brokertest"
	"github.com/hawser-iot/hawser/cloud/downlink"
	"github.com/hawser-iot/hawser/cloud/presence"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/protocol/mqtt/packet"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// TestTakeOver: a gateway that comes back while its old connection is still open, and logs its sub-devices in again, leaves no trace
// in their status; the one that it does not log in goes offline when the grace is over.
func TestTakeOver(t *testing.T) {
	const grace = 300 * time.Millisecond
	g := gatewayOf(t, brokertest.New(t, brokertest.Config{Store: storetest.SQLite(t), Presence: func(c *presence.Config) { c.Grace = grace }}), false)
	g.ask(t, topic.SubdevLogin, g.subs...)
	first := g.c
	g.c = g.MustDial(t, brokertest.Of(g.dev))
	g.c.Subscribe("/$system/" + g.dev.Identity.Product + "/" + g.dev.Identity.SN + "/subdev/#")
	first.Ended()
	if got := g.ask(t, topic.SubdevLogin, g.subs[0]); got != 0 {
		t.Fatalf("login over the new connection: %d", got)
	}
	brokertest.Eventually(t, "the other one is offline", func() bool { return g.state(t, g.subs[1]) == registry.Offline })
	for i, want := range []int{1, 2} {
		if seen := g.Rules.Of(topic.System(g.subs[i].Identity, topic.DeviceStatus)); len(seen) != want {
			t.Errorf("sub-device %d: %d events, want %d: %v", i, len(seen), want, seen)
		}
	}
	if got := g.state(t, g.subs[0]); got != registry.Online {
		t.Errorf("the one that came back is %s", got)
	}
	up := topic.Name(g.subs[0].Identity, "upload")
	g.c.Publish(up, `{}`)
	if len(g.Rules.Of(up)) != 1 {
		t.Error("the one that came back cannot publish")
	}
}

// TestTakenOverAndGone: when the new connection ends too, or logs a sub-device out that it did not log in, nobody waits.
func TestTakenOverAndGone(t *testing.T) {
	g := newGateway(t, false)
	g.ask(t, topic.SubdevLogin, g.subs...)
	first := g.c
	g.c = g.MustDial(t, brokertest.Of(g.dev))
	g.c.Subscribe("/$system/" + g.dev.Identity.Product + "/" + g.dev.Identity.SN + "/subdev/#")
	first.Ended()
	brokertest.Eventually(t, "waited for", func() bool { _, there := g.Presence.Session(g.subs[0].Identity); return !there })
	g.ask(t, topic.SubdevLogout, g.subs[0])
	brokertest.Eventually(t, "logged out", func() bool { return g.state(t, g.subs[0]) == registry.Offline })
	if got := g.state(t, g.subs[1]); got != registry.Online {
		t.Fatalf("the other one is %s already", got)
	}
	g.c.Break()
	brokertest.Eventually(t, "gone with the gateway", func() bool { return g.state(t, g.subs[1]) == registry.Offline })
}

// TestWildcard: one filter of a gateway is for all its sub-devices, and for nobody else's.
func TestWildcard(t *testing.T) {
	g := newGateway(t, false)
	p := g.subs[0].Identity.Product
	stranger, err := g.Registry.CreateDevice(t.Context(), registry.NewDevice{Product: p, SN: "sub-0099"})
	if err != nil {
		t.Fatal(err)
	}
	plain := g.New(t)
	if codes := g.MustDial(t, brokertest.Of(plain)).Subscribe("/"+p+"/+/set", "/+/+/set"); codes[0] < 0x80 || codes[1] < 0x80 {
		t.Fatalf("SUBACK %v of a device that is no gateway", codes)
	}
	g.c.Retain(topic.Name(g.dev.Identity, "upload"), `1`) // so that products keep something
	if codes := g.c.Subscribe("/+/+/set", "/$system/"+p+"/+/#", "#"); codes[0] != 1 || codes[1] != 1 || codes[2] < 0x80 {
		t.Fatalf("SUBACK %v", codes)
	}
	g.ask(t, topic.SubdevLogin, g.subs...)
	for _, sub := range g.subs {
		set := topic.Name(sub.Identity, "set")
		out, err := g.Downlink.Send(t.Context(), downlink.Message{Device: sub.Identity, Topic: set, Payload: []byte("x"), QoS: 1})
		if err != nil || out != downlink.Delivered {
			t.Fatalf("Send: %v, %v", out, err)
		}
		for m := g.c.Message(); m.Topic != set; m = g.c.Message() {
			if !strings.HasSuffix(m.Topic, "device/status") {
				t.Fatalf("%s came", m.Topic)
			}
		}
	}
	if _, err := g.Downlink.Send(t.Context(), downlink.Message{Device: stranger.Identity, Topic: topic.Name(stranger.Identity, "set"), Payload: []byte("x"), QoS: 1}); err == nil {
		t.Error("a device that is not logged in got a message")
	}
}

// TestLimitsOfEach: the rate and the number of subscriptions count for each identity on a gateway's connection.
func TestLimitsOfEach(t *testing.T) {
	g := gatewayOf(t, brokertest.New(t, brokertest.Config{Store: storetest.SQLite(t), Broker: func(c *broker.Config) {
		c.Engine.Rate, c.Engine.MaxSubscriptions = 20, 3
	}}), false)
	g.ask(t, topic.SubdevLogin, g.subs...)
	paused := g.Broker.Stats().Paused
	for range 18 { // 18 of each within the burst: 54 on one connection, which one rate for all would hold up for 1.7 s
		for _, dev := range []*registry.Device{g.dev, g.subs[0], g.subs[1]} {
			g.c.Publish(topic.Name(dev.Identity, "upload"), `{}`)
		}
	}
	if n := g.Broker.Stats().Paused - paused; n != 0 {
		t.Errorf("three identities within their rates were held back %d times", n)
	}
	began := time.Now()
	for n := 0; g.Broker.Stats().Paused == paused; n++ { // on a machine that takes 50 of one within the second and a half that they are worth
		if n > 100 {
			t.Fatal("an identity beyond its rate is not held back")
		}
		for range 50 {
			g.c.Send(topic.Name(g.subs[0].Identity, "upload"), `{}`)
		}
		for acked := 0; acked < 50; {
			if g.c.Next().Type == packet.PUBACK {
				acked++
			}
		}
	}
	if took := time.Since(began); took < 1400*time.Millisecond {
		t.Errorf("50 messages of an identity that may send 20 a second took %s", took)
	}
	filters := func(dev *registry.Device) []string {
		sys := func(k topic.Kind) string { return topic.System(dev.Identity, k) }
		return []string{sys(topic.ShadowDownstream), sys(topic.ShadowGetReply), sys(topic.Command), sys(topic.PropertySet)}
	}
	for _, sub := range g.subs {
		if codes := g.c.Subscribe(filters(sub)...); codes[2] != 1 || codes[3] != packet.SubackFailure {
			t.Errorf("SUBACK %v of %s, want three granted", codes, sub.Identity.SN)
		}
	}
	if codes := g.c.Subscribe(filters(g.dev)...); codes[1] != 1 || codes[2] != packet.SubackFailure { // subdev/# is its first
		t.Errorf("SUBACK %v of the gateway", codes)
	}
	if codes := g.c.Subscribe(filters(g.subs[0])[0]); codes[0] != 1 {
		t.Errorf("SUBACK %v of a filter that it has", codes)
	}
}

// TestThousand: a gateway with as many sub-devices as it may have comes and goes without a storm: few commits, one event each.
func TestThousand(t *testing.T) {
	metrics := prometheus.NewRegistry()
	// Commits are counted by what goes together, on a machine that takes seconds for a thousand of something, too.
	db, err := store.Open(t.Context(), store.Config{Dir: t.TempDir(), Keyring: storetest.Keyring, CommitEvery: 200 * time.Millisecond}, slog.New(slog.DiscardHandler), metrics)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	commits := func() int {
		all, err := metrics.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range all {
			if f.GetName() == "hawser_store_commits_total" {
				return int(f.GetMetric()[0].GetCounter().GetValue())
			}
		}
		return 0
	}
	g := newGatewayOn(t, db, false)
	const n = 1000
	list, err := g.Registry.CreateDevices(t.Context(), g.subs[0].Identity.Product, n, nil)
	if err != nil {
		t.Fatal(err)
	}
	step := func(what string, f func()) {
		before, cpu, began := commits(), cpuTime(), time.Now()
		f()
		t.Logf("%s: %s, %s of CPU, %d commits", what, time.Since(began).Round(time.Millisecond), (cpuTime() - cpu).Round(time.Millisecond), commits()-before)
		if made := commits() - before; made > 60 {
			t.Errorf("%s: %d commits", what, made)
		}
	}
	count := func(state registry.State) int {
		var n int
		if err := g.Store.QueryRow(t.Context(), `SELECT COUNT(*) FROM device WHERE product = ? AND state = ?`, g.subs[0].Identity.Product, int64(state)).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	step("topo/add", func() {
		if got := g.ask(t, topic.TopoAdd, list...); got != 0 {
			t.Fatalf("topo/add: %d", got)
		}
	})
	step("login", func() {
		if got := g.ask(t, topic.SubdevLogin, list...); got != 0 {
			t.Fatalf("login: %d", got)
		}
	})
	if got := g.ask(t, topic.SubdevLogin, g.subs[0]); got != 220 {
		t.Errorf("login of one more: %d", got)
	}
	if online := count(registry.Online); online != n {
		t.Errorf("%d of %d are online", online, n)
	}
	listed, replies := 0, 0
	take := func(m brokertest.Packet) {
		if m.Topic == topic.System(g.dev.Identity, topic.TopoGetReply) {
			listed, replies = listed+strings.Count(m.Payload, `"DeviceSN"`), replies+1
		}
	}
	for _, m := range g.c.Publish(topic.System(g.dev.Identity, topic.TopoGet), `{"RequestID":"1"}`) {
		take(m)
	}
	for listed < n+2 { // more than may be in flight at once
		take(g.c.Message())
	}
	if listed != n+2 || replies < 20 {
		t.Errorf("%d sub-devices in %d replies", listed, replies)
	}
	step("take-over and login", func() {
		g.c = g.MustDial(t, brokertest.Of(g.dev))
		g.c.Subscribe("/$system/" + g.dev.Identity.Product + "/" + g.dev.Identity.SN + "/subdev/#")
		if got := g.ask(t, topic.SubdevLogin, list...); got != 0 {
			t.Fatalf("login: %d", got)
		}
	})
	step("drop", func() {
		g.c.Break()
		brokertest.Eventually(t, "all offline", func() bool { return count(registry.Online) == 0 })
	})
	for _, d := range list {
		seen := g.Rules.Of(topic.System(d.Identity, topic.DeviceStatus))
		if len(seen) != 2 {
			t.Fatalf("%s: %d events, want Online and Offline", d.Identity.SN, len(seen))
		}
	}
	var rows int
	if err := g.Store.QueryRow(t.Context(), `SELECT COUNT(*) FROM device_connection`).Scan(&rows); err != nil {
		t.Fatal(err)
	}
	if want := 2*n + 4; rows > want || rows < 2*n {
		t.Errorf("%d rows of history, want one for each session", rows)
	}
}

// cpuTime is what the process has used.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
