package scenario

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/device-sdk/upload"
	"github.com/hawser-iot/hawser/testbed/harness"
	"github.com/hawser-iot/hawser/testbed/transfer"
)

// uploadRig is a hub behind a proxy, over a folder or over a bucket that has a proxy too, and a device with a file.
type uploadRig struct {
	*harness.Hub
	front, store *transfer.Proxy // store is nil over a folder
	dev          harness.Credentials
	sender       transfer.Sender
	data         []byte
}

func newUploadRig(t *testing.T, bucket bool, size int) *uploadRig {
	t.Helper()
	r := &uploadRig{data: make([]byte, size)}
	opt := harness.HubOptions{}
	var ca string
	if bucket {
		s3, pki := harness.StartS3(t), harness.NewPKI(t)
		r.store = transfer.StartProxy(t, s3.Addr, pki, &tls.Config{RootCAs: s3.CAs, MinVersion: tls.VersionTLS12})
		ca = pki.CA
		opt.Args = append(opt.Args, "--blob-url", fmt.Sprintf("s3://%s:%s@%s/%s?ca=%s&public=%s", s3.AccessKey, s3.SecretKey, s3.Addr, s3.Bucket, s3.CAFile, r.store.Addr))
	}
	front := harness.FreeAddr(t)
	opt.Args = append(opt.Args, "--device-base-url", "http://"+front)
	r.Hub = harness.StartHub(t, opt)
	r.front = transfer.StartProxyAt(t, front, r.HTTP, nil, nil)
	product := r.Product(map[string]any{"name": "camera", "kind": "device"})
	r.dev = r.Devices(product, 1)[0]
	_, _ = rand.NewChaCha8([32]byte{9}).Read(r.data)
	file := filepath.Join(t.TempDir(), "film.mp4")
	if err := os.WriteFile(file, r.data, 0o600); err != nil {
		t.Fatal(err)
	}
	r.sender = transfer.Sender{Base: "http://" + front, Product: r.dev.ProductSN, SN: r.dev.DeviceSN, Secret: r.dev.DeviceSecret, File: file, CA: ca, Class: "film"}
	return r
}

// proxies are those that bytes go through.
func (r *uploadRig) proxies() []*transfer.Proxy {
	if r.store == nil {
		return []*transfer.Proxy{r.front}
	}
	return []*transfer.Proxy{r.front, r.store}
}

func (r *uploadRig) received() (n int64) {
	for _, p := range r.proxies() {
		n += p.Received()
	}
	return n
}

// arrived checks that the hub has the file once and gives it back as it was sent.
func (r *uploadRig) arrived(t *testing.T) {
	t.Helper()
	var list struct {
		Items []struct {
			FileID, Name string
			Size         int64
		}
	}
	path := "/v1/products/" + r.dev.ProductSN + "/devices/" + r.dev.DeviceSN + "/files"
	if err := r.Call("GET", path, nil, &list); err != nil {
		t.Fatal(err)
	}
	if len(list.Items) != 1 || list.Items[0].Size != int64(len(r.data)) || list.Items[0].Name != "film.mp4" {
		t.Fatalf("files %+v", list.Items)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+r.HTTP+path+"/"+list.Items[0].FileID+"/content", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+r.Key)
	size := len(r.data)
	for spec, want := range map[string][]byte{"": r.data, "bytes=1000000-1000999": r.data[1000000:1001000], "bytes=-7": r.data[size-7:]} {
		req.Header.Set("Range", spec)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || !bytes.Equal(got, want) || (resp.StatusCode == http.StatusPartialContent) != (spec != "") {
			t.Errorf("range %q: the hub gives %d other bytes, %s, %v", spec, len(got), resp.Status, err)
		}
	}
}

// uploadWays are the ways that a file may go, with what may be sent twice when the sender is killed.
var uploadWays = []struct {
	name     string
	bucket   bool
	path     upload.Path
	parallel int
	most     int64 // bytes a kill
	span     int64 // a kill falls within so many bytes
}{
	{"folder direct", false, upload.Direct, 1, 5 << 20, 8 << 20},
	{"folder relay", false, upload.Relay, 1, 256 << 10, 1 << 20},
	{"bucket direct", true, upload.Direct, 1, 5 << 20, 8 << 20},
	{"bucket four at a time", true, upload.Direct, 4, 4 * 5 << 20, 8 << 20},
	{"bucket relay", true, upload.Relay, 1, 256 << 10, 1 << 20},
}

// TestUploadKilled kills a device's program with SIGKILL at random bytes of its file. Each time no more is sent again than was on its way.
func TestUploadKilled(t *testing.T) {
	kills, size := 2, 12<<20
	if os.Getenv("HAWSER_TEST_LONG") != "" {
		kills, size = 50, 300<<20
	}
	for _, way := range uploadWays {
		t.Run(way.name, func(t *testing.T) {
			r := newUploadRig(t, way.bucket, size)
			r.sender.Path, r.sender.Parallel = way.path, way.parallel
			offsets := make([]int64, kills)
			for i := range offsets {
				offsets[i] = 1 + rand.Int64N(way.span)
			}
			wasted, id, err := transfer.Run(t.Context(), t, r.sender, offsets, r.proxies()...)
			if err != nil || id == "" {
				t.Fatalf("file %q, %v", id, err)
			}
			var total int64
			for i, n := range wasted {
				if total += n; n > way.most {
					t.Errorf("life %d sent %d bytes that were not taken, more than %d", i, n, way.most)
				}
			}
			again := r.received() - int64(size)
			if again > total || len(wasted) < 2 {
				t.Errorf("%d bytes came twice, %d were cut off in %d lives", again, total, len(wasted))
			}
			r.arrived(t)
			t.Logf("%d bytes in %d lives, %d of them again", size, len(wasted), again)
		})
	}
}

// TestUploadHubKilled kills the hub while a file goes, directly and by the relay: the sender goes on, with what the hub had acknowledged.
func TestUploadHubKilled(t *testing.T) {
	for _, way := range uploadWays[:2] {
		t.Run(way.name, func(t *testing.T) {
			const size = 12 << 20
			r := newUploadRig(t, way.bucket, size)
			r.sender.Path = way.path
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			killed := make(chan struct{})
			r.front.After(7<<20, func() { close(killed) })
			done := make(chan error, 1)
			go func() { _, err := r.sender.Send(ctx, nil); done <- err }()
			<-killed
			r.Kill()
			r.Start()
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			r.arrived(t)
			// What is sent while there is no hub goes nowhere; what the hub had kept and could not acknowledge any more is not sent again.
			r.front.Settle(t)
			if again := r.front.Received() - size; again > r.front.Wasted() {
				t.Errorf("%d bytes came twice, %d were cut off", again, r.front.Wasted())
			}
		})
	}
}

// TestUploadDisturbed has the object store fail now and then, cut connections and get other bytes than were sent.
func TestUploadDisturbed(t *testing.T) {
	r := newUploadRig(t, true, 18<<20)
	var n atomic.Int64
	disturb := func(w http.ResponseWriter, req *http.Request) bool {
		switch n.Add(1) {
		case 1:
			_, _ = io.Copy(io.Discard, req.Body)
			w.WriteHeader(http.StatusInternalServerError)
			return true
		case 3:
			transfer.Cut(req, 100_000)
		case 5: // an expired URL, as the store sees one
			q := req.URL.Query()
			q.Set("X-Amz-Date", "20200101T000000Z")
			req.URL.RawQuery = q.Encode()
		case 7:
			b, err := io.ReadAll(req.Body)
			if err == nil {
				b[len(b)/2]++
			}
			req.Body = io.NopCloser(bytes.NewReader(b))
		}
		return false
	}
	r.store.Disturb = disturb
	r.sender.Path = upload.Direct
	if _, err := r.sender.Send(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	r.arrived(t)
	if n.Load() < 8 {
		t.Errorf("%d requests: not all was disturbed", n.Load())
	}
}

// TestUploadNoRoute: where the object store cannot be reached the file goes by the hub.
func TestUploadNoRoute(t *testing.T) {
	r := newUploadRig(t, true, 3<<20)
	r.store.Close()
	if _, err := r.sender.Send(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	r.arrived(t)
	if r.front.Received() != int64(len(r.data)) {
		t.Errorf("%d bytes came by the hub", r.front.Received())
	}
}

// TestUploadOtherNode kills the node that a file goes by, for good: another one goes on with it.
func TestUploadOtherNode(t *testing.T) {
	s3, front := harness.StartS3(t), harness.FreeAddr(t)
	ca, err := os.ReadFile(s3.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	hubs := cluster(t, 2, "--device-base-url", "http://"+front,
		"--blob-url", fmt.Sprintf("s3://%s:%s@%s/%s?ca=%s", s3.AccessKey, s3.SecretKey, s3.Addr, s3.Bucket, s3.CAFile))
	proxy := transfer.StartProxyAt(t, front, hubs[0].HTTP, nil, nil)
	d := hubs[1].Devices(hubs[1].Product(map[string]any{"name": "camera", "kind": "device"}), 1)[0]
	r := &uploadRig{Hub: hubs[1], front: proxy, dev: d, data: make([]byte, 7<<20)}
	_, _ = rand.NewChaCha8([32]byte{8}).Read(r.data)
	r.sender = transfer.Sender{Base: "http://" + front, Product: d.ProductSN, SN: d.DeviceSN, Secret: d.DeviceSecret, CA: string(ca), Path: upload.Relay,
		File: filepath.Join(t.TempDir(), "film.mp4")}
	if err := os.WriteFile(r.sender.File, r.data, 0o600); err != nil {
		t.Fatal(err)
	}
	killed := false
	_, err = r.sender.Send(t.Context(), func(c *upload.Config) {
		c.Progress = func(_ *upload.File, stored int64) {
			if stored < 2<<20 || killed {
				return
			}
			hubs[0].Kill()
			proxy.To(hubs[1].HTTP)
			killed = true
		}
	})
	if err != nil || !killed {
		t.Fatalf("killed %v, %v", killed, err)
	}
	r.arrived(t)
	if again := proxy.Received() - int64(len(r.data)); again > 256<<10 {
		t.Errorf("%d bytes came twice", again)
	}
}
