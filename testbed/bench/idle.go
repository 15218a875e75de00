package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"github.com/hawser-iot/hawser/testbed/harness"
)

// reconnects is how often the whole fleet connects anew in a full run.
const reconnects = 10

// idleMemory measures resident memory an idle connection with one QoS 1
// subscription: the server's growth from before the fleet to after it has been
// quiet for a while, divided by the fleet.
func idleMemory(e *env) {
	n := 10_000
	settle := 8 * time.Second
	if e.smoke {
		n, settle = 200, time.Second
	}
	hub := harness.StartHub(e, e.hubOn("")) // the TLS hub below serves no profiles: the address is taken
	cert, key := selfSigned(e)
	broker := harness.StartMosquitto(e, harness.MosquittoOptions{CertFile: cert, KeyFile: key})
	product := hub.Product(map[string]any{"name": "idle", "kind": "device"})
	devices := hub.Devices(product, n)

	var ours, peers []clientSpec
	for i, d := range devices {
		ours = append(ours, clientSpec{ID: d.ClientID(), User: d.UserName(), Password: d.DeviceSecret, Subscribe: d.Topic("set")})
		peers = append(peers, clientSpec{ID: fmt.Sprint("idle", i), Subscribe: fmt.Sprintf("/idle/%d/set", i)})
	}
	fmt.Printf("%d idle connections, one QoS 1 subscription each, read %v after the last login; %s\n\n", n, settle, mosquittoVersion())
	measure := func(label string, pid int, spec loadSpec) series {
		before := rss(e, pid)
		g := startGenerator(e, label, spec)
		time.Sleep(settle)
		per := float64(rss(e, pid)-before) / float64(n)
		if lost := g.count().Lost; lost > 0 {
			e.Fatalf("%s dropped %d of its idle connections", label, lost)
		}
		fmt.Printf("%-16s %8.0f bytes a connection (process %.1f MiB before)\n", label, per, float64(before)/(1<<20))
		if e.full {
			for range reconnects {
				g.close()
				g = startGenerator(e, label, spec)
			}
			time.Sleep(settle + time.Minute) // memory is given back at most once a minute
			fmt.Printf("%-16s %8.0f bytes a connection after %d rounds of reconnecting\n", label, float64(rss(e, pid)-before)/float64(n), reconnects)
		}
		g.close()
		return series{per}
	}
	a := measure("hawser", hub.PID(), loadSpec{Addr: hub.MQTT, Clients: ours})
	b := measure("mosquitto", broker.PID(), loadSpec{Addr: broker.Addr, Clients: peers})

	// Fresh processes for TLS: memory that a first fleet left behind would hide the second one's.
	tlsHub := harness.StartHub(e, harness.HubOptions{Bin: e.hubBin})
	product = tlsHub.Product(map[string]any{"name": "idle", "kind": "device"})
	ours = ours[:0]
	for _, d := range tlsHub.Devices(product, n) {
		ours = append(ours, clientSpec{ID: d.ClientID(), User: d.UserName(), Password: d.DeviceSecret, Subscribe: d.Topic("set")})
	}
	tlsBroker := harness.StartMosquitto(e, harness.MosquittoOptions{CertFile: cert, KeyFile: key})
	c := measure("hawser TLS", tlsHub.PID(), loadSpec{Addr: tlsHub.MQTTS, TLS: true, Clients: ours})
	d := measure("mosquitto TLS", tlsBroker.PID(), loadSpec{Addr: tlsBroker.TLSAddr, TLS: true, Clients: peers})
	result("idle_mem_tls", c, d, "bytes_per_connection")
	result("idle_mem", a, b, "bytes_per_connection")
}

func rss(e *env, pid int) int64 {
	n, err := harness.RSS(pid)
	must(e, err)
	return n
}

// selfSigned writes a P-256 certificate for loopback and its key.
func selfSigned(e *env) (certFile, keyFile string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(e, err)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	must(e, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	must(e, err)
	dir := e.TempDir()
	must(e, os.Chmod(dir, 0o755)) // mosquitto drops its privileges before it reads them
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	must(e, os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644))
	must(e, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o644))
	return certFile, keyFile
}
