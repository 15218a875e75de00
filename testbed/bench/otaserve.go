package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"golang.org/x/sync/errgroup"

	"github.com/hawser-iot/hawser/testbed/harness"
)

const (
	// serveImage is how long the firmware is, serveConns how many clients download it at a time.
	serveImage = 64 << 20
	serveConns = 16
)

// otaServe measures the CPU of downloads of a firmware in ranges, without TLS: keep-alive connections, each asking for one range behind the other.
// The peer is nginx with sendfile, one process, its open files kept and no log. The hub looks up and verifies the short link for each
// range, and counts. The headline is ranges of 1 MiB; agents ask for up to 4 MiB of a pack, stock devices for 4,097 bytes.
func otaServe(e *env) {
	root := e.TempDir()
	must(e, os.Chmod(root, 0o755))
	data := make([]byte, serveImage)
	_, _ = rand.Read(data)
	must(e, os.WriteFile(filepath.Join(root, "thermo.bin"), data, 0o644))
	hub := harness.StartHub(e, e.hub("--firmware-plain-http"))
	ours := &serving{name: "hawser", addr: hub.HTTP, path: offeredURL(e, hub, data), pid: hub.PID()}
	server := harness.StartNginx(e, root, e.serverCPU)
	peer := &serving{name: "nginx", addr: server.Addr, path: "/thermo.bin", pid: server.PID()}
	version, _ := exec.Command("/usr/sbin/nginx", "-v").CombinedOutput()
	fmt.Printf("%d MiB, %d connections, %d rounds; %s, sendfile, open_file_cache\n\n", serveImage>>20, serveConns, e.rounds, strings.TrimSpace(string(version)))
	fmt.Printf("%-12s %-28s %-28s %s\n", "range", "hawser, CPU s a GB", "nginx", "load generator, CPU s a GB")
	var a, b series
	for _, size := range []int64{4097, 64 << 10, 4 << 20, 1 << 20} { // the headline last
		total := int64(6 << 30)
		switch {
		case e.smoke:
			total = 8 << 20
		case size == 4097:
			total = 256 << 20
		case size == 64<<10:
			total = 2 << 30
		}
		if e.full {
			total *= 3
		}
		var gen series
		a, b = nil, nil
		for range e.rounds + 1 { // the first warms up
			mine, load := ours.round(e, size, total)
			theirs, _ := peer.round(e, size, total)
			a, b, gen = append(a, mine), append(b, theirs), append(gen, load)
		}
		a, b, gen = a[1:], b[1:], gen[1:]
		fmt.Printf("%-12d %-28s %-28s %6.2f\n", size, a, b, gen.median())
	}
	result("ota_serve", a, b, "cpu_s_per_gb")
}

// serving is a server that has the firmware.
type serving struct {
	name, addr, path string
	pid              int
}

// round has total bytes downloaded and returns the CPU seconds of the server, and of the clients, for 10^9 bytes.
func (s *serving) round(e *env, size, total int64) (server, clients float64) {
	self, err := os.Executable()
	must(e, err)
	before, err := harness.CPUTime(s.pid)
	must(e, err)
	cmd := exec.Command("taskset", "-c", e.genCPU, self, "download")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	spec, err := json.Marshal(downloadSpec{s.addr, s.path, serveImage, size, total})
	must(e, err)
	cmd.Stdin = bytes.NewReader(spec)
	out, err := cmd.CombinedOutput()
	if err != nil {
		e.Fatalf("downloads from %s: %v\n%s", s.name, err, out)
	}
	after, err := harness.CPUTime(s.pid)
	must(e, err)
	gb := float64(total) / 1e9
	return (after - before).Seconds() / gb, (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds() / gb
}

// offeredURL adds the firmware and takes the URL that a device is offered.
func offeredURL(e *env, hub *harness.Hub, data []byte) (path string) {
	product := hub.Product(map[string]any{"name": "thermo", "kind": "device"})
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "http://"+hub.HTTP+"/v1/products/"+product+"/firmwares?version=2.0", bytes.NewReader(data))
	must(e, err)
	req.Header.Set("Authorization", "Bearer "+hub.Key)
	req.Header.Set("Content-Type", "application/octet-stream")
	resp, err := http.DefaultClient.Do(req)
	must(e, err)
	var fw struct {
		FirmwareID string `json:"firmwareID"`
	}
	must(e, errors.Join(json.NewDecoder(resp.Body).Decode(&fw), resp.Body.Close()))
	dev := hub.Devices(product, 1)[0]
	client := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + hub.MQTT).SetClientID(dev.ClientID()).SetUsername(dev.UserName()).SetPassword(dev.DeviceSecret))
	wait := func(t mqtt.Token) {
		if !t.WaitTimeout(time.Minute) {
			e.Fatalf("MQTT: no answer")
		}
		must(e, t.Error())
	}
	wait(client.Connect())
	defer client.Disconnect(100)
	offers := make(chan []byte, 1)
	wait(client.Subscribe(dev.System("ota/downstream"), 1, func(_ mqtt.Client, m mqtt.Message) { offers <- m.Payload() }))
	must(e, hub.Call("POST", "/v1/products/"+product+"/ota-tasks", map[string]any{"firmwareID": fw.FirmwareID, "targets": map[string]any{"all": true}}, nil))
	select {
	case b := <-offers:
		var offer struct{ Payload struct{ URL string } }
		must(e, json.Unmarshal(b, &offer))
		u, err := url.Parse(offer.Payload.URL)
		must(e, err)
		return u.RequestURI()
	case <-time.After(time.Minute):
		e.Fatalf("no firmware offered")
		return ""
	}
}

// downloadSpec is what the load generator's process is told.
type downloadSpec struct {
	Addr, Path         string
	Size, Range, Total int64
}

// download is the load generator: it downloads Total bytes over serveConns connections and throws them away.
func download(in io.Reader) error {
	var spec downloadSpec
	if err := json.NewDecoder(in).Decode(&spec); err != nil {
		return err
	}
	var g errgroup.Group
	for i := range int64(serveConns) {
		g.Go(func() error { return spec.client(i*spec.Size/serveConns, spec.Total/serveConns) })
	}
	return g.Wait()
}

// client downloads total bytes from an offset on, again and again through the file.
func (s *downloadSpec) client(offset, total int64) error {
	conn, err := net.Dial("tcp", s.Addr)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	r := bufio.NewReaderSize(conn, 128<<10)
	for total > 0 {
		n := min(s.Range, s.Size-offset)
		if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nRange: bytes=%d-%d\r\n\r\n", s.Path, s.Addr, offset, offset+n-1); err != nil {
			return err
		}
		if err := skipAnswer(r, n); err != nil {
			return err
		}
		total -= n
		if offset += n; offset == s.Size {
			offset = 0
		}
	}
	return nil
}

// skipAnswer reads one answer, whose body must have n bytes.
func skipAnswer(r *bufio.Reader, n int64) error {
	length := int64(-1)
	for first := true; ; first = false {
		line, err := r.ReadSlice('\n')
		switch {
		case err != nil:
			return err
		case first && !bytes.HasPrefix(line, []byte("HTTP/1.1 206 ")):
			return fmt.Errorf("answered %q", line)
		case len(line) <= 2:
			if length != n {
				return fmt.Errorf("%d bytes in an answer, want %d", length, n)
			}
			_, err := r.Discard(int(n))
			return err
		}
		if v, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if length, err = strconv.ParseInt(string(bytes.TrimSpace(v)), 10, 64); err != nil {
				return err
			}
		}
	}
}
