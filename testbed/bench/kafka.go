package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hawser-iot/hawser/cloud/keyring"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/cloud/rules/outbound"
	"github.com/hawser-iot/hawser/cloud/rules/sink/kafkasink"
	"github.com/hawser-iot/hawser/cloud/store"
	path "github.com/hawser-iot/hawser/cloud/uplink" // uplink is a benchmark here
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/topic"
	"github.com/hawser-iot/hawser/testbed/harness"
)

const (
	kafkaDevices = 64
	kafkaBatch   = 500
	kafkaFlight  = 16384 // messages that are matched and not delivered yet
	kafkaTopics  = "ours,alone,peer"
)

// serveKafka is the broker's process: it says where it is and serves until its input ends.
func serveKafka(in io.Reader, out io.Writer) error {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(16, strings.Split(kafkaTopics, ",")...))
	if err != nil {
		return err
	}
	defer c.Close()
	fmt.Fprintln(out, c.ListenAddrs()[0])
	_, _ = io.Copy(io.Discard, in) // its end is what is waited for
	return nil
}

func startKafka(e *env) (addr string, pid int) {
	self, err := os.Executable()
	must(e, err)
	cmd := exec.Command(self, "kafka")
	cmd.Stderr, cmd.SysProcAttr = os.Stderr, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	must(e, err)
	out, err := cmd.StdoutPipe()
	must(e, err)
	must(e, cmd.Start())
	e.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	must(e, err)
	return strings.TrimSpace(line), cmd.Process.Pid
}

// sinkKafka alternates three ways to get the same messages into Kafka, and prints what one costs this process and the broker together:
// ours (a rule matches, a durable outbox is committed and read back, the sink delivers), the sink alone, and franz-go's own batched produce.
func sinkKafka(e *env) {
	n := 120 * kafkaBatch
	if e.full {
		n = 400 * kafkaBatch
	}
	if e.smoke {
		n = 2 * kafkaBatch
	}
	addr, pid := startKafka(e)
	r := newKafkaRig(e, addr)
	records := r.records(n)
	peer, err := kgo.NewClient(kgo.SeedBrokers(addr))
	must(e, err)
	e.Cleanup(peer.Close)
	ways := []struct {
		name string
		run  func()
	}{
		{"hawser", func() { r.run(n) }},
		{"sink", func() { r.alone(records) }},
		{"franz-go", func() { produceAll(e, peer, records) }},
	}
	fmt.Printf("%d messages a round, %d at once; %d devices; CPU of this process and of the broker\n\n", n, kafkaBatch, kafkaDevices)
	fmt.Println("round  way       CPU µs/message  of it the broker  messages/s of CPU")
	all := make([]series, len(ways))
	for i := range e.rounds {
		for j, w := range ways {
			own, broker := selfCPU(), kafkaCPU(e, pid)
			w.run()
			broker = kafkaCPU(e, pid) - broker
			used := selfCPU() - own + broker
			per := float64(used.Microseconds()) / float64(n)
			fmt.Printf("%5d  %-8s  %14.2f  %16.2f  %17.0f\n", i+1, w.name, per, float64(broker.Microseconds())/float64(n), 1e6/per)
			all[j] = append(all[j], 1e6/per)
		}
	}
	fmt.Printf("\nthe sink alone: %.2f of franz-go\n", all[1].median()/all[2].median())
	result("sink_kafka", all[0], all[2], "msg_per_cpu_s")
}

// selfCPU is what this process has used.
func selfCPU() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // it cannot fail
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// kafkaCPU is what the broker has used.
func kafkaCPU(e *env, pid int) time.Duration {
	d, err := harness.CPUTime(pid)
	must(e, err)
	return d
}

// produceAll is what a program does that has the records there already.
func produceAll(e *env, cl *kgo.Client, records []rules.Record) {
	for len(records) > 0 {
		batch := records[:min(kafkaBatch, len(records))]
		records = records[len(batch):]
		messages := make([]*kgo.Record, len(batch))
		for i := range batch {
			b := &batch[i]
			messages[i] = &kgo.Record{Topic: "peer", Key: []byte(b.Device.String()), Value: b.Result, Timestamp: b.Time, Headers: []kgo.RecordHeader{
				{Key: "hawser-key", Value: []byte(b.Key())}, {Key: "hawser-message-id", Value: []byte(b.MessageID.String())}}}
		}
		must(e, cl.ProduceSync(context.Background(), messages...).FirstErr())
	}
}

// kafkaRig is the rules of a hub without its doors.
type kafkaRig struct {
	env     *env
	db      *store.DB
	rules   *rules.Rules
	rule    int64
	product string
	devices []*registry.Device
	ids     *message.IDs
	sink    rules.Sink
	sent    int64
}

// kafkaConnector is a connector that is always there.
type kafkaConnector struct{ conn rules.Connection }

func (k kafkaConnector) Handle(string, string, string) (rules.Handle, error) { return k, nil }
func (kafkaConnector) Hold(context.Context, *store.Tx, int64) error          { return nil }
func (k kafkaConnector) Use(f func(rules.Connection) error) error            { return f(k.conn) }
func (kafkaConnector) Info() (string, json.RawMessage)                       { return "bench", nil }

func newKafkaRig(e *env, addr string) *kafkaRig {
	ctx, log := context.Background(), slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	conn, err := kafkasink.ConnectorKind().Open(json.RawMessage(`{"brokers":["`+addr+`"]}`), outbound.New(outbound.Options{AllowLocal: true}))
	must(e, err)
	db, err := store.Open(ctx, store.Config{Dir: e.TempDir(), Durability: store.DurabilityPower, Keyring: keyring.New()}, log, nil)
	must(e, err)
	reg, err := registry.New(ctx, db, log)
	must(e, err)
	r := &kafkaRig{env: e, db: db, ids: message.NewIDs(1, 0, time.Now)}
	p, err := reg.CreateProduct(ctx, registry.NewProduct{Name: "bench"})
	must(e, err)
	r.product = p.SN
	r.devices, err = reg.CreateDevices(ctx, p.SN, kafkaDevices, nil)
	must(e, err)
	r.rules, err = rules.New(ctx, rules.DefaultConfig(), rules.Deps{Store: db, Registry: reg, IDs: r.ids, Log: log, Connectors: kafkaConnector{conn},
		Kinds: map[string]rules.Factory{kafkasink.Kind: kafkasink.New}})
	must(e, err)
	rule, err := r.rules.Create(ctx, rules.NewRule{Name: "bench", Enabled: true,
		SQL:     "SELECT deviceSN() AS device, Property.temperature.Value AS t, Property.mode.Value AS h FROM '/" + p.SN + "/+/upload' WHERE Property.temperature.Value > 20",
		Actions: []rules.Action{{Kind: kafkasink.Kind, Config: json.RawMessage(`{"connector":"7","topic":"ours"}`)}}})
	must(e, err)
	r.rule = rule.ID
	r.sink, err = kafkasink.New(json.RawMessage(`{"connector":"7","topic":"alone"}`),
		rules.Env{Connector: func(string, string) (rules.Handle, error) { return kafkaConnector{conn}, nil }})
	must(e, err)
	running, end := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- r.rules.Run(running) }()
	e.Cleanup(func() {
		end()
		must(e, <-done)
		_ = conn.Close()
		_ = db.Close()
	})
	return r
}

// records are what the rule makes of n messages.
func (r *kafkaRig) records(n int) []rules.Record {
	list := make([]rules.Record, n)
	for i := range list {
		d := r.devices[i%len(r.devices)]
		list[i] = rules.Record{Action: r.rule + 1, MessageID: r.ids.Next(), DeviceID: d.ID, Device: ident.Device{Product: r.product, SN: d.Identity.SN}, Time: time.Now(),
			Result: []byte(`{"device":"` + d.Identity.SN + `","t":21.53,"h":2}`)}
	}
	return list
}

// alone gives the records to the sink.
func (r *kafkaRig) alone(records []rules.Record) {
	for len(records) > 0 {
		batch := records[:min(kafkaBatch, len(records))]
		records = records[len(batch):]
		must(r.env, r.sink.Send(context.Background(), batch))
	}
}

// run sends n messages through the rule and waits until all are delivered.
func (r *kafkaRig) run(n int) {
	var wg sync.WaitGroup
	target := r.sent + int64(n)
	for i := range n {
		for i%1024 == 0 && r.sent-r.delivered() > kafkaFlight {
			<-time.After(time.Millisecond)
		}
		d := r.devices[i%len(r.devices)]
		name := "/" + r.product + "/" + d.Identity.SN + "/upload"
		t, err := topic.Parse(name)
		must(r.env, err)
		payload := strings.Replace(report, "{n}", strconv.Itoa(i), 1)
		m := &path.Message{ID: r.ids.Next(), Device: d.Identity, DeviceID: d.ID, Topic: t, Name: name, Payload: []byte(payload), QoS: 1, At: time.Now()}
		out := r.rules.Match(m, name, m.Root, nil)
		if len(out) != 1 {
			r.env.Fatalf("the rule has put out %d records", len(out))
		}
		wg.Add(1)
		r.db.Submit(&store.Unit{Device: d.ID, Out: out, Done: func(err error) { must(r.env, err); wg.Done() }})
		r.sent++
	}
	wg.Wait()
	harness.Eventually(r.env, 5*time.Minute, "all messages are delivered", func() bool { return r.delivered() >= target })
}

func (r *kafkaRig) delivered() int64 {
	s, err := r.rules.Stats(context.Background(), r.rule)
	must(r.env, err)
	a := s.Actions[0]
	if a.Dead > 0 || len(a.Dropped) > 0 {
		r.env.Fatalf("messages were given up: %+v", a)
	}
	return a.Delivered
}
