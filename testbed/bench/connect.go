package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/testbed/harness"
)

// door is a server that clients log in at.
type door struct {
	name, plain, tls string
	pid              int
	clients          []clientSpec
}

// connects measures the CPU of a login with user name and password: TCP, CONNECT, CONNACK and the end, plain, with a whole TLS 1.3
// handshake, and with a resumed one. The hub checks the device's secret, takes an epoch of its session in the store and tells
// rules and watchers of it; mosquitto looks into a password file.
func connects(e *env) {
	n := 2000
	if e.full {
		n = 5000
	}
	if e.smoke {
		n = 100
	}
	cert, key := selfSigned(e)
	hub := harness.StartHub(e, e.hub())
	product := hub.Product(map[string]any{"name": "connect", "kind": "device"})
	ours, peer := &door{name: "hawser", plain: hub.MQTT, tls: hub.MQTTS, pid: hub.PID()}, &door{name: "mosquitto"}
	for i, d := range hub.Devices(product, n) {
		ours.clients = append(ours.clients, clientSpec{ID: d.ClientID(), User: d.UserName(), Password: d.DeviceSecret})
		peer.clients = append(peer.clients, clientSpec{ID: d.ClientID(), User: fmt.Sprint("user", i), Password: d.DeviceSecret})
	}
	broker := harness.StartMosquitto(e, harness.MosquittoOptions{CertFile: cert, KeyFile: key, PasswordFile: passwordFile(e, peer.clients), Pin: e.serverCPU})
	peer.plain, peer.tls, peer.pid = broker.Addr, broker.TLSAddr, broker.PID()
	fmt.Printf("%d logins a round, %d rounds; %s with a password file\n\n", n, e.rounds, mosquittoVersion())
	for _, kind := range []struct {
		name      string
		tls, keep bool
	}{{"connect_tls", true, false}, {"connect_tls_resumed", true, true}, {"connect", false, false}} {
		var a, b series
		for range e.rounds + 1 { // the first warms up
			a = append(a, ours.round(e, kind.tls, kind.keep))
			b = append(b, peer.round(e, kind.tls, kind.keep))
		}
		a, b = a[1:], b[1:]
		fmt.Printf("%-20s hawser %8.1f µs a login, mosquitto %8.1f\n", kind.name, a.median(), b.median())
		result(kind.name, a, b, "cpu_us_per_connect")
	}
}

// round logs all clients in and cuts them off, and returns the server's CPU in µs a login.
func (d *door) round(e *env, useTLS, resume bool) float64 {
	spec := loadSpec{Addr: d.plain, Clients: d.clients, Resume: resume}
	if useTLS {
		spec.Addr, spec.TLS = d.tls, true
	}
	cpu := func() time.Duration {
		used, err := harness.CPUTime(d.pid)
		must(e, err)
		return used
	}
	before := cpu()
	startGenerator(e, d.name, spec).close()
	time.Sleep(500 * time.Millisecond) // the ends are part of it
	return float64((cpu() - before).Nanoseconds()) / 1000 / float64(len(d.clients))
}

// passwordFile makes a file of the clients' passwords as mosquitto hashes them.
func passwordFile(e *env, clients []clientSpec) string {
	var b strings.Builder
	for _, c := range clients {
		fmt.Fprintf(&b, "%s:%s\n", c.User, c.Password)
	}
	dir := e.TempDir()
	must(e, os.Chmod(dir, 0o755))
	file := filepath.Join(dir, "passwords")
	must(e, os.WriteFile(file, []byte(b.String()), 0o644))
	if out, err := exec.Command("mosquitto_passwd", "-U", file).CombinedOutput(); err != nil {
		e.Fatalf("mosquitto_passwd: %v: %s", err, out)
	}
	must(e, os.Chmod(file, 0o644)) // mosquitto drops its privileges before it reads it
	return file
}
