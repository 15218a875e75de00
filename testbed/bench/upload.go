package main

import (
	"context"
	"crypto/md5"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	rnd "math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	sdk "github.com/hawser-iot/hawser/device-sdk/upload"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/testbed/harness"
	"github.com/hawser-iot/hawser/testbed/transfer"
)

// uploadWay is a way that files go.
type uploadWay struct {
	name     string
	bucket   bool
	path     sdk.Path
	parallel int
	most     int64 // bytes that a kill may cost
	span     int64 // within which a kill falls
	size     int   // of the file that is killed, MiB: more than so many lives send
}

var uploadWays = []uploadWay{
	{"folder, one PUT (stock devices)", false, -1, 0, 0, 0, 0},
	{"folder, parts to the hub", false, sdk.Direct, 1, 5 << 20, 10 << 20, 160},
	{"folder, relay", false, sdk.Relay, 1, 256 << 10, 4 << 20, 160},
	{"bucket, one PUT (stock devices)", true, -1, 0, 0, 0, 0},
	{"bucket, parts to the bucket", true, sdk.Direct, 1, 5 << 20, 6 << 20, 350},
	{"bucket, four parts at a time", true, sdk.Direct, 4, 4 * 5 << 20, 8 << 20, 600},
	{"bucket, relay", true, sdk.Relay, 1, 256 << 10, 4 << 20, 160},
}

// uploads measures what files cost the hub, by the ways that they may go, and what is sent again when the sender is killed with SIGKILL at random bytes. The hub has
// one core; the sender and the object store share the other. The headline is the relay beside parts that go to the bucket.
func uploads(e *env) {
	size, kills, ways := 64<<20, 50, uploadWays
	if e.smoke {
		size, kills = 8<<20, 2
		ways = []uploadWay{ways[4], ways[6]}
	}
	fmt.Printf("%d MiB a file, %d rounds; hub on one core, sender and object store on the other; TLS to the object store only\n\n", size>>20, e.rounds)
	fmt.Printf("%-34s %-26s %-26s %s\n", "way", "hub, CPU ms a MiB", "MiB/s", "object store, CPU ms a MiB")
	var relay, direct series
	for _, w := range ways {
		r := newUploads(e, w, size)
		var cpu, rate, store series
		for range e.rounds + 1 { // the first warms up
			c, m, s := r.round(e)
			cpu, rate, store = append(cpu, c), append(rate, m), append(store, s)
		}
		cpu, rate, store = cpu[1:], rate[1:], store[1:]
		fmt.Printf("%-34s %-26s %-26s %6.2f\n", w.name, cpu, rate, store.median())
		switch {
		case w.bucket && w.path == sdk.Relay:
			relay = cpu
		case w.bucket && w.path == sdk.Direct && w.parallel == 1:
			direct = cpu
		}
	}
	fmt.Printf("\nkilled with SIGKILL %d times\n\n%-34s %-10s %-10s %-22s %s\n", kills, "way", "MiB", "lives", "sent again, bytes", "most a kill (bound)")
	for _, w := range ways {
		if w.path < 0 {
			continue
		}
		mib := w.size
		if e.smoke {
			mib = 12
		}
		newUploads(e, w, mib<<20).kill(e, kills)
	}
	result("upload", relay, direct, "cpu_ms_per_mib")
}

// uploading is a hub that files are sent to.
type uploading struct {
	way    uploadWay
	hub    *harness.Hub
	s3     *harness.S3 // nil over a folder
	front  *transfer.Proxy
	store  *transfer.Proxy
	sender transfer.Sender
	data   []byte
	n      int
}

func newUploads(e *env, w uploadWay, size int) *uploading {
	r := &uploading{way: w, data: make([]byte, size)}
	_, _ = rand.Read(r.data)
	front := harness.FreeAddr(e)
	args := []string{"--file-max-size", fmt.Sprint(1 << 30), "--file-max-bytes", fmt.Sprint(1 << 40), "--device-base-url", "http://" + front}
	if w.bucket {
		r.s3 = harness.StartS3(e)
		pki := harness.NewPKI(e)
		r.store = transfer.StartProxy(e, r.s3.Addr, pki, &tls.Config{RootCAs: r.s3.CAs, MinVersion: tls.VersionTLS12})
		r.sender.CA = pki.CA
		args = append(args, "--blob-url", fmt.Sprintf("s3://%s:%s@%s/%s?ca=%s&public=%s", r.s3.AccessKey, r.s3.SecretKey, r.s3.Addr, r.s3.Bucket, r.s3.CAFile, r.store.Addr))
	}
	r.hub = harness.StartHub(e, e.hub(args...))
	r.front = transfer.StartProxyAt(e, front, r.hub.HTTP, nil, nil)
	dev := r.hub.Devices(r.hub.Product(map[string]any{"name": "camera", "kind": "device"}), 1)[0]
	r.sender.Base, r.sender.Product, r.sender.SN, r.sender.Secret = "http://"+front, dev.ProductSN, dev.DeviceSN, dev.DeviceSecret
	r.sender.Path, r.sender.Parallel = w.path, w.parallel
	r.sender.File = filepath.Join(e.TempDir(), "film.mp4")
	return r
}

// write makes another file of the same size.
func (r *uploading) write(e *env) {
	r.n++
	copy(r.data, fmt.Sprintf("file %08d", r.n))
	must(e, os.WriteFile(r.sender.File, r.data, 0o600))
}

// round sends a file and returns the hub's CPU and the store's for a MiB, in ms, and how fast it went.
func (r *uploading) round(e *env) (hub, rate, store float64) {
	r.write(e)
	cpu := func(pid int) float64 {
		d, err := harness.CPUTime(pid)
		must(e, err)
		return d.Seconds() * 1e3
	}
	before, storeBefore := cpu(r.hub.PID()), 0.0
	if r.s3 != nil {
		storeBefore = cpu(r.s3.PID())
	}
	began := time.Now()
	if r.way.path < 0 {
		r.put(e)
	} else {
		_, err := r.sender.Send(context.Background(), nil)
		must(e, err)
	}
	took, mib := time.Since(began).Seconds(), float64(len(r.data)>>20)
	if r.s3 != nil {
		store = (cpu(r.s3.PID()) - storeBefore) / mib
	}
	return (cpu(r.hub.PID()) - before) / mib, mib / took, store
}

// put sends the file as a stock device does.
func (r *uploading) put(e *env) {
	body := fmt.Sprintf(`{"ProductSN":%q,"DeviceSN":%q,"FileName":"film.mp4","FileSize":%d,"MD5":"%x","Content-Type":"video/mp4"}`,
		r.sender.Product, r.sender.SN, len(r.data), md5.Sum(r.data))
	call := func(method, url, authorization string, body io.Reader, size int) []byte {
		req, err := http.NewRequestWithContext(context.Background(), method, url, body)
		must(e, err)
		req.ContentLength = int64(size)
		req.Header.Set("Authorization", authorization)
		resp, err := http.DefaultClient.Do(req)
		must(e, err)
		b, err := io.ReadAll(resp.Body)
		must(e, err)
		must(e, resp.Body.Close())
		if resp.StatusCode != http.StatusOK {
			e.Fatalf("%s: %s %s", url, resp.Status, b)
		}
		return b
	}
	var g struct{ URL, Authorization string }
	must(e, json.Unmarshal(call("POST", r.sender.Base+"/api/v1/url", credential.SignBody(credential.Secret(r.sender.Secret), []byte(body)), strings.NewReader(body), len(body)), &g))
	f, err := os.Open(r.sender.File)
	must(e, err)
	call("PUT", g.URL, g.Authorization, io.NopCloser(f), len(r.data))
	must(e, f.Close())
}

// kill sends one file through kills at random bytes.
func (r *uploading) kill(e *env, kills int) {
	r.write(e)
	proxies := []*transfer.Proxy{r.front}
	if r.store != nil {
		proxies = append(proxies, r.store)
	}
	offsets := make([]int64, kills)
	for i := range offsets {
		offsets[i] = 1 + rnd.Int64N(r.way.span)
	}
	wasted, id, err := transfer.Run(context.Background(), e, r.sender, offsets, proxies...)
	must(e, err)
	var most, received int64
	for _, n := range wasted {
		most = max(most, n)
	}
	for _, p := range proxies {
		received += p.Received()
	}
	fmt.Printf("%-34s %-10d %-10d %-22d %d (%d)\n", r.way.name, len(r.data)>>20, len(wasted), received-int64(len(r.data)), most, r.way.most)
	if most > r.way.most || id == "" {
		e.Fatalf("more than the bound was sent again")
	}
}
