// Command bench measures the hub beside its peers: both are started here, on
// one core, driven with the same load from another process on the other core
// in alternating rounds, and charged by the kernel's own CPU accounting.
//
//	go run ./testbed/bench uplink_qos1
//	go run ./testbed/bench -full idle_mem
//
// The last line is RESULT <name> ratio=<ours/peer> ours=… peer=… unit=….
package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/hawser-iot/hawser/testbed/transfer"
)

// benchmark is one named measurement.
type benchmark struct {
	name, about string
	run         func(*env)
}

var benchmarks = []benchmark{
	{"uplink_qos1", "CPU a QoS 1 property post from 500 devices, everything on, beside mosquitto forwarding", func(e *env) { uplink(e, 1) }},
	{"uplink_qos0", "the same at QoS 0", func(e *env) { uplink(e, 0) }},
	{"forward_qos1", "CPU a QoS 1 message from one of 500 devices to one subscriber, beside mosquitto", forward},
	{"downlink", "CPU a QoS 1 message from an application to one of 10,000 devices, beside mosquitto", downlink},
	{"sink_mysql", "rows a CPU second through rule, outbox and sink into MariaDB, beside the driver's own insert of many rows", sinkMySQL},
	{"sink_pg", "the same into PostgreSQL", sinkPostgres},
	{"rule_latency", "p50 and p99 from PUBACK to the delivery of a rule's result at 1,000/s, beside a bare POST", ruleLatency},
	{"latency", "p50 and p99 from PUBLISH to PUBACK at 1,000/s, engine and hub beside mosquitto", latency},
	{"fanin", "messages a second through one core as fast as they are acknowledged, engine and hub beside mosquitto", fanIn},
	{"idle_cpu", "CPU a minute of 19,500 idle connections, engine and hub beside mosquitto", idleCPU},
	{"footprint", "start to ready, memory idle and with 5,000 devices, binary sizes", footprint},
	{"api_query", "what a caller waits for lists, devices and searches over HTTP, on both engines", apiQuery},
	{"console_api", "what the console's pages wait for at 100,000 devices over HTTP: lists, searches, charts, histories, the overview, on both engines", consoleAPI},
	{"console_live", "memory and CPU of a hub with 100,000 devices a live page that is open: overview, devices, log", consoleLive},
	{"console_pages", "time until the console's first pages can be worked with in Chromium, on a hub with 100,000 devices", consolePages},
	{"fleet_query", "lists, filters and counts over a large fleet, in the process, on both engines", fleetQuery},
	{"connect", "CPU a login with a password, plain and TLS, beside mosquitto with a password file", connects},
	{"rule_eval", "a message through one rule, decoding and result included, beside encoding/json and expr-lang", ruleEval},
	{"rule_fan", "messages for one rule of 10,000, beside one rule alone", ruleFan},
	{"shadow", "durable shadow updates a CPU second of 1,000 devices, beside the same rows group-committed alone", benchShadow},
	{"delta", "bytes, CPU and memory of a root file system's update, beside zstd --patch-from, xdelta3, bsdiff and the whole image", updates},
	{"ota_serve", "CPU a GB of firmware downloaded in ranges, beside nginx with sendfile", otaServe},
	{"sink_kafka", "messages a CPU second through rule, outbox and sink into Kafka, beside franz-go's own batched produce", sinkKafka},
	{"agent_size", "bytes of the agent's program, beside mosquitto_pub with its libraries", agentSize},
	{"agent_rss", "memory of the agent at ten messages a second, beside mosquitto_pub", agentMemory},
	{"store_fwd", "bytes that reach the disk for a record of the agent's buffer, beside bbolt", storeForward},
	{"upload", "CPU of the hub for a MiB of a file by each way, how fast it goes, and what is sent again through 50 kills", uploads},
	{"idle_mem", "memory an idle connection, plain and TLS, beside mosquitto", idleMemory},
}

func main() {
	transfer.Main()
	if len(os.Args) == 2 && os.Args[1] == "generate" {
		if err := generate(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "load:", err)
			os.Exit(1)
		}
		return
	}
	if len(os.Args) == 2 && os.Args[1] == "engine" {
		if err := serveEngine(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "engine:", err)
			os.Exit(1)
		}
		return
	}
	if len(os.Args) == 2 && os.Args[1] == "kafka" {
		if err := serveKafka(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "kafka:", err)
			os.Exit(1)
		}
		return
	}
	if len(os.Args) == 2 && os.Args[1] == "download" {
		if err := download(os.Stdin); err != nil {
			fmt.Fprintln(os.Stderr, "download:", err)
			os.Exit(1)
		}
		return
	}
	full := flag.Bool("full", false, "longer rounds, more of them")
	smoke := flag.Bool("smoke", false, "one short round, to see that it runs")
	hub := flag.String("hub", "", "hub binary (built when empty)")
	pprof := flag.String("pprof", "", "loopback address at which the hub serves profiles while it is measured")
	flag.Usage = usage
	flag.Parse()
	i := slices.IndexFunc(benchmarks, func(b benchmark) bool { return b.name == flag.Arg(0) })
	if flag.NArg() != 1 || i < 0 {
		usage()
		os.Exit(2)
	}
	e := newEnv(*full, *smoke, *hub)
	e.pprof = *pprof
	go func() {
		ch := make(chan os.Signal, 1)
		signal.Notify(ch, os.Interrupt, syscall.SIGTERM)
		<-ch
		e.Fatalf("interrupted")
	}()
	benchmarks[i].run(e)
	e.close()
}

func usage() {
	fmt.Fprintf(os.Stderr, "usage: go run ./testbed/bench [-full] NAME\n\n")
	for _, b := range benchmarks {
		fmt.Fprintf(os.Stderr, "  %-14s %s\n", b.name, b.about)
	}
	fmt.Fprintln(os.Stderr)
	flag.PrintDefaults()
}
