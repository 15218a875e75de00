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
	{"footprint", "start to ready, memory idle and with 5,000 devices, binary sizes", footprint},
	{"api_query", "what a caller waits for lists, devices and searches over HTTP, on both engines", apiQuery},
	{"fleet_query", "lists, filters and counts over a large fleet, in the process, on both engines", fleetQuery},
	{"connect", "CPU a login with a password, plain and TLS, beside mosquitto with a password file", connects},
	{"idle_mem", "memory an idle connection, plain and TLS, beside mosquitto", idleMemory},
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == "generate" {
		if err := generate(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "load:", err)
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
