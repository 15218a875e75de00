package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"

	"github.com/hawser-iot/hawser/cloud/keyring"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/cloud/rules/outbound"
	"github.com/hawser-iot/hawser/cloud/rules/sink/mysqlsink"
	"github.com/hawser-iot/hawser/cloud/rules/sink/pgsink"
	"github.com/hawser-iot/hawser/cloud/store"
	path "github.com/hawser-iot/hawser/cloud/uplink" // uplink is a benchmark here
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/topic"
	"github.com/hawser-iot/hawser/testbed/harness"
)

const (
	sinkDevices = 64
	sinkBatch   = 256  // rows of a statement, on both sides
	sinkFlight  = 8192 // messages that are matched and not delivered yet
)

// sqlBench is a database that rows go into by way of rules, and by its driver alone.
type sqlBench struct {
	name, kind string
	connector  rules.ConnectorKind
	factory    rules.Factory
	config     map[string]any
	query      func(sql string) string
	table      string                   // of {id, device, t, h, at}, empty
	cpu        func() time.Duration     // of the server
	insert     func(rows [][]any) error // the driver's own insert of many rows, with the same key
}

// sinkMySQL measures rows into a MariaDB.
func sinkMySQL(e *env) {
	m := harness.StartMariaDB(e, "--innodb-buffer-pool-size=256M")
	cfg := mysql.NewConfig()
	cfg.Net, cfg.Addr, cfg.User, cfg.Passwd, cfg.DBName = "tcp", m.Addr, m.User, m.Password, m.Database
	c, err := mysql.NewConnector(cfg)
	must(e, err)
	db := sql.OpenDB(c)
	db.SetMaxOpenConns(1)
	e.Cleanup(func() { _ = db.Close() })
	var stmt *sql.Stmt
	runSQL(e, &sqlBench{name: "sink_mysql", kind: mysqlsink.Kind, connector: mysqlsink.Connector(), factory: mysqlsink.New, config: m.Config(), query: m.Query,
		table: "CREATE TABLE readings (id VARCHAR(60) PRIMARY KEY, device VARCHAR(64), t DOUBLE, h INT, at DATETIME(3))",
		cpu:   func() time.Duration { return treeCPU(e, m.PID()) },
		insert: func(rows [][]any) (err error) {
			if stmt == nil {
				if stmt, err = db.Prepare("INSERT INTO readings (id, device, t, h, at) VALUES " + strings.Repeat("(?,?,?,?,?),", sinkBatch-1) +
					"(?,?,?,?,?) ON DUPLICATE KEY UPDATE id = id"); err != nil {
					return err
				}
			}
			_, err = stmt.Exec(flat(rows)...)
			return err
		}})
}

// sinkPostgres measures rows into a PostgreSQL.
func sinkPostgres(e *env) {
	p := harness.StartPostgresServer(e, "-c", "shared_buffers=256MB", "-c", "max_wal_size=4GB", "-c", "autovacuum=off")
	p.Query("ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO hawser")
	ctx := context.Background()
	conf, err := pgx.ParseConfig("sslmode=disable")
	must(e, err)
	host, port, _ := net.SplitHostPort(p.Addr)
	number, _ := strconv.Atoi(port)
	conf.Host, conf.Port, conf.User, conf.Password, conf.Database = host, uint16(number), p.User, p.Password, p.Database
	conn, err := pgx.ConnectConfig(ctx, conf)
	must(e, err)
	e.Cleanup(func() { _ = conn.Close(ctx) })
	var text strings.Builder
	for i := range sinkBatch {
		fmt.Fprintf(&text, ",($%d,$%d,$%d,$%d,$%d)", 5*i+1, 5*i+2, 5*i+3, 5*i+4, 5*i+5)
	}
	insert := "INSERT INTO readings (id, device, t, h, at) VALUES " + text.String()[1:] + " ON CONFLICT (id) DO NOTHING"
	runSQL(e, &sqlBench{name: "sink_pg", kind: pgsink.Kind, connector: pgsink.Connector(), factory: pgsink.New, config: p.Config(), query: p.Query,
		table: "CREATE TABLE readings (id VARCHAR(60) PRIMARY KEY, device VARCHAR(64), t DOUBLE PRECISION, h INT, at TIMESTAMPTZ(3))",
		cpu:   func() time.Duration { return treeCPU(e, p.PID()) },
		insert: func(rows [][]any) error {
			_, err := conn.Exec(ctx, insert, flat(rows)...)
			return err
		}})
}

func flat(rows [][]any) []any {
	args := make([]any, 0, len(rows)*len(rows[0]))
	for _, r := range rows {
		args = append(args, r...)
	}
	return args
}

// runSQL alternates both ways and prints what a row costs, this process and the server together: in ours a message is matched by a rule,
// committed to a durable outbox, read back, and sent; in the peer the rows are there already and go from one loop.
func runSQL(e *env, b *sqlBench) {
	rows := 40 * sinkBatch
	if e.full {
		rows = 400 * sinkBatch
	}
	if e.smoke {
		rows = 2 * sinkBatch
	}
	b.query(b.table)
	r := newSinkRig(e, b)
	fmt.Printf("%d rows a round, %d a statement, with a key; %d devices; CPU of this process and of the server\n\n", rows, sinkBatch, sinkDevices)
	fmt.Println("round  side    CPU µs/row  of it the server  rows/s of CPU")
	var all [2]series
	for i := range e.rounds {
		for j, side := range []struct {
			name string
			run  func(n int)
		}{{"hawser", r.run}, {"driver", func(n int) { b.driver(e, n) }}} {
			before, server := ownCPU(), b.cpu()
			side.run(rows)
			server = b.cpu() - server
			used := ownCPU() - before + server
			per := float64(used.Microseconds()) / float64(rows)
			fmt.Printf("%5d  %s  %10.2f  %16.2f  %13.0f\n", i+1, side.name, per, float64(server.Microseconds())/float64(rows), 1e6/per)
			all[j] = append(all[j], 1e6/per)
			if got := strings.TrimSpace(b.query("SELECT COUNT(*) FROM readings")); got != strconv.Itoa(rows) {
				e.Fatalf("%s: %s rows are there, want %d", side.name, got, rows)
			}
			b.query("TRUNCATE TABLE readings")
		}
	}
	fmt.Println()
	result(b.name, all[0], all[1], "rows_per_cpu_s")
}

// driver inserts n rows without anything around.
func (b *sqlBench) driver(e *env, n int) {
	rows := make([][]any, 0, sinkBatch)
	for i := range n {
		now := time.Now()
		rows = append(rows, []any{fmt.Sprintf("%d:%d", now.UnixNano(), i), "device-" + strconv.Itoa(i%sinkDevices), 21.53, int64(i % 100), now})
		if len(rows) == sinkBatch {
			must(e, b.insert(rows))
			rows = rows[:0]
		}
	}
}

// sinkRig is the rules of a hub without its doors.
type sinkRig struct {
	env     *env
	db      *store.DB
	rules   *rules.Rules
	rule    int64
	product *registry.Product
	devices []*registry.Device
	ids     *message.IDs
	sent    int64
}

// oneConnector is a connector that is always there.
type oneConnector struct{ conn rules.Connection }

func (o oneConnector) Handle(string, string, string) (rules.Handle, error) { return o, nil }
func (oneConnector) Hold(context.Context, *store.Tx, int64) error          { return nil }
func (o oneConnector) Use(f func(rules.Connection) error) error            { return f(o.conn) }
func (oneConnector) Info() (string, json.RawMessage)                       { return "bench", nil }

func newSinkRig(e *env, b *sqlBench) *sinkRig {
	ctx, log := context.Background(), slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	config, err := json.Marshal(b.config)
	must(e, err)
	conn, err := b.connector.Open(config, outbound.New(outbound.Options{AllowLocal: true}))
	must(e, err)
	db, err := store.Open(ctx, store.Config{Dir: e.TempDir(), Durability: store.DurabilityPower, Keyring: keyring.New()}, log, nil)
	must(e, err)
	reg, err := registry.New(ctx, db, log)
	must(e, err)
	r := &sinkRig{env: e, db: db, ids: message.NewIDs(1, 0, time.Now)}
	r.product, err = reg.CreateProduct(ctx, registry.NewProduct{Name: "bench"})
	must(e, err)
	r.devices, err = reg.CreateDevices(ctx, r.product.SN, sinkDevices, nil)
	must(e, err)
	r.rules, err = rules.New(ctx, rules.DefaultConfig(), rules.Deps{Store: db, Registry: reg, IDs: r.ids, Log: log, Connectors: oneConnector{conn},
		Kinds: map[string]rules.Factory{b.kind: b.factory}})
	must(e, err)
	action := `{"connector":"7","table":"readings","key":"id","columns":{"id":"${recordKey}","device":"${device}","t":"${t}","h":"${h}","at":"${timestamp}"}}`
	rule, err := r.rules.Create(ctx, rules.NewRule{Name: "bench", Enabled: true, SQL: "SELECT deviceSN() AS device, Property.temperature.Value AS t, Property.mode.Value AS h FROM '/" +
		r.product.SN + "/+/upload' WHERE Property.temperature.Value > 20", Actions: []rules.Action{{Kind: b.kind, Config: json.RawMessage(action)}}})
	must(e, err)
	r.rule = rule.ID
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

// run sends n messages through the rule and waits until all are delivered.
func (r *sinkRig) run(n int) {
	var wg sync.WaitGroup
	target := r.sent + int64(n)
	for i := range n {
		for i%1024 == 0 && r.sent-r.delivered() > sinkFlight {
			<-time.After(time.Millisecond)
		}
		d := r.devices[i%len(r.devices)]
		name := "/" + r.product.SN + "/" + d.Identity.SN + "/upload"
		t, err := topic.Parse(name)
		must(r.env, err)
		m := &path.Message{ID: r.ids.Next(), Device: d.Identity, DeviceID: d.ID, Product: r.product, Topic: t, Name: name, Payload: []byte(report), QoS: 1, At: time.Now()}
		out := r.rules.Match(m, name, m.Root, nil)
		if len(out) != 1 {
			r.env.Fatalf("the rule has put out %d records", len(out))
		}
		wg.Add(1)
		r.db.Submit(&store.Unit{Device: d.ID, Out: out, Done: func(err error) { must(r.env, err); wg.Done() }})
		r.sent++
	}
	wg.Wait()
	harness.Eventually(r.env, 5*time.Minute, "all rows are delivered", func() bool {
		<-time.After(10 * time.Millisecond)
		return r.delivered() >= target
	})
}

func (r *sinkRig) delivered() int64 {
	s, err := r.rules.Stats(context.Background(), r.rule)
	must(r.env, err)
	a := s.Actions[0]
	if a.Dead > 0 || len(a.Dropped) > 0 {
		r.env.Fatalf("rows were given up: %+v", a)
	}
	return a.Delivered
}

// ownCPU is what this process has used.
func ownCPU() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // it cannot fail
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// treeCPU is what a server and its children have used.
func treeCPU(e *env, pid int) time.Duration {
	sum, err := harness.CPUTime(pid)
	must(e, err)
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is good
	for _, file := range stats {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(b), ") ")
		if f := strings.Fields(rest); len(f) > 1 && f[1] == strconv.Itoa(pid) {
			if child, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil {
				if used, err := harness.CPUTime(child); err == nil {
					sum += used
				}
			}
		}
	}
	return sum
}
