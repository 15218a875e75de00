package scenario

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/hawser-iot/hawser/cloud/apiclient"
	"github.com/hawser-iot/hawser/cloud/apitype"
	"github.com/hawser-iot/hawser/cloud/ota/artifact/artifacttest"
	"github.com/hawser-iot/hawser/firmware/attest"
	"github.com/hawser-iot/hawser/firmware/delta"
	"github.com/hawser-iot/hawser/firmware/image"
	"github.com/hawser-iot/hawser/firmware/manifest"
	"github.com/hawser-iot/hawser/firmware/signing"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/testbed/harness"
)

// verifier is a small device that verifies manifests: it has its trust, and an image in memory.
type verifier struct {
	t      *testing.T
	cred   harness.Credentials
	client mqtt.Client
	format codec.Format
	down   chan []byte

	root  *signing.Root
	state signing.State
	image []byte
}

func newVerifier(t *testing.T, hub *harness.Hub, cred harness.Credentials, format codec.Format, options string) *verifier {
	t.Helper()
	v := &verifier{t: t, cred: cred, format: format, down: make(chan []byte, 16)}
	v.client = mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + hub.MQTT).SetClientID(cred.ClientID()).SetUsername(cred.UserName() + "|" + options).
		SetPassword(cred.DeviceSecret).SetStore(harness.NewStore()))
	v.wait(v.client.Connect())
	t.Cleanup(func() { v.client.Disconnect(100) })
	v.wait(v.client.Subscribe(cred.System("ota/downstream"), 1, func(_ mqtt.Client, m mqtt.Message) { v.down <- m.Payload() }))
	return v
}

func (v *verifier) wait(token mqtt.Token) {
	v.t.Helper()
	if !token.WaitTimeout(time.Minute) || token.Error() != nil {
		v.t.Fatalf("MQTT: %v", token.Error())
	}
}

// say sends a message with QoS 1; when it returns the hub has it.
func say[T any](v *verifier, method string, payload T) {
	v.t.Helper()
	b, err := message.EncodeOTA(v.format, method, payload)
	if err != nil {
		v.t.Fatal(err)
	}
	v.wait(v.client.Publish(v.cred.System("ota/upstream"), 1, false, b))
}

// hear waits for the next message, which must have that method.
func hear[T any](v *verifier, method string) T {
	v.t.Helper()
	select {
	case b := <-v.down:
		if got, err := message.OTAMethod(b); err != nil || got != method || codec.Detect(b) != v.format {
			v.t.Fatalf("heard %q (%v) in %v, want %q", got, err, codec.Detect(b), method)
		}
		payload, err := message.DecodeOTA[T](b)
		if err != nil {
			v.t.Fatal(err)
		}
		return payload
	case <-time.After(time.Minute):
		v.t.Fatalf("nothing heard, want %q", method)
		panic("not reached")
	}
}

// web is a client of the hub's HTTPS door.
var web = &http.Client{Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableCompression: true}}

func (v *verifier) get(url string) []byte {
	v.t.Helper()
	resp, err := web.Get(url)
	if err != nil {
		v.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		v.t.Fatalf("%s: %s, %v", url, resp.Status, err)
	}
	return b
}

// question takes an offer as a device does: it verifies the manifest and asks.
func (v *verifier) question(offer message.OTAOffer) *signing.Release {
	v.t.Helper()
	j := signing.Judge{Root: v.root, State: v.state, Device: manifest.Device{ID: v.cred.ClientID(),
		Modules: map[string]manifest.Module{"default": {Vendor: artifacttest.Vendor, Class: artifacttest.Class}}}}
	rel, err := j.Offer(v.get(offer.ManifestURL), time.Now())
	if err != nil || !bytes.Equal(rel.Digest[:], offer.Digest) {
		v.t.Fatalf("offer: %v", err)
	}
	nonce := make([]byte, 16)
	_, _ = rand.Read(nonce)
	if v.state, err = v.state.Asked(nonce); err != nil {
		v.t.Fatal(err)
	}
	say(v, message.OTARequestAssignment, message.OTAQuestion{Deployment: offer.Deployment, Module: offer.Module, Digest: offer.Digest, Nonce: nonce, Root: v.root.Version})
	return rel
}

// assigned takes the answer.
func (v *verifier) assigned(offer message.OTAOffer, rel *signing.Release) *signing.Assignment {
	v.t.Helper()
	got := hear[message.OTABytes](v, message.OTAAssignment)
	j := signing.Judge{Root: v.root, State: v.state, Device: manifest.Device{ID: v.cred.ClientID(),
		Modules: map[string]manifest.Module{"default": {Vendor: artifacttest.Vendor, Class: artifacttest.Class}}}}
	a, state, err := j.Assignment(rel, got.Bytes, time.Now())
	if err != nil || got.Deployment != offer.Deployment || len(a.Sources) != 1 || a.Execution != fmt.Sprintf("%s.%d", offer.Deployment, offer.Attempt) {
		v.t.Fatalf("assignment: %+v, %v", a, err)
	}
	v.state = state
	return a
}

// report is the step-th report_progress.
func (v *verifier) report(offer message.OTAOffer, step int64, state string) {
	v.t.Helper()
	say(v, message.OTAReportProgress, message.OTAProgress{Module: "default", Deployment: offer.Deployment, Attempt: offer.Attempt, Step: step, State: state, Permille: 500})
}

// attest says what is booted, and waits for the answer.
func (v *verifier) attest(deployment string, digest manifest.Digest, confirmed bool) {
	v.t.Helper()
	id, err := strconv.ParseInt(deployment, 10, 64)
	if err != nil {
		v.t.Fatal(err)
	}
	b, err := attest.Report{Booted: digest, Slot: "B", Sequence: 2, TriesLeft: 3, Confirmed: confirmed, Root: v.root.Version}.Seal([]byte(v.cred.DeviceSecret), id)
	if err != nil {
		v.t.Fatal(err)
	}
	say(v, message.OTAAttest, message.OTABytes{Deployment: deployment, Bytes: b})
	if got := hear[message.OTADeployment](v, message.OTAAttested); got.Deployment != deployment {
		v.t.Fatalf("attested %+v", got)
	}
}

// factory is whoever makes firmware for a product of the hub.
type factory struct {
	t       *testing.T
	client  *apiclient.Client
	maker   *artifacttest.Maker
	product string
}

func newFactory(t *testing.T, hub *harness.Hub) *factory {
	t.Helper()
	client, err := apiclient.NewClient("http://"+hub.HTTP, apiclient.WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+hub.Key)
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	return &factory{t: t, client: client, maker: artifacttest.New(t), product: hub.Product(map[string]any{"name": "thermo"})}
}

// answer reads an answer of the API that went well.
func answer[T any](t *testing.T, resp *http.Response, err error) (out T) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode/100 == 2 {
		err = json.Unmarshal(b, &out)
	}
	if err != nil || resp.StatusCode/100 != 2 {
		t.Fatalf("%s: %s, %v", resp.Status, b, err)
	}
	return out
}

const octets = "application/octet-stream"

func (f *factory) director() signing.PublicKey {
	f.t.Helper()
	resp, err := f.client.GetDirector(f.t.Context())
	k, err := signing.ParsePublicKey([]byte(answer[apitype.Director](f.t, resp, err).PublicKey))
	if err != nil {
		f.t.Fatal(err)
	}
	return k
}

// trust gives the hub the next root document, and returns it.
func (f *factory) trust() *signing.Root {
	f.t.Helper()
	doc := f.maker.NextRoot(f.t, f.director())
	resp, err := f.client.AddRootWithBody(f.t.Context(), f.product, octets, bytes.NewReader(doc))
	if out := answer[apitype.RootList](f.t, resp, err); out.Warning != "" {
		f.t.Fatal(out.Warning)
	}
	root, err := signing.TrustRoot(doc)
	if err != nil {
		f.t.Fatal(err)
	}
	return root
}

// push uploads a release with one image and waits until it is complete.
func (f *factory) push(sequence uint64, i artifacttest.Image) apitype.Release {
	f.t.Helper()
	resp, err := f.client.AddReleaseWithBody(f.t.Context(), f.product, &apitype.AddReleaseParams{}, octets, bytes.NewReader(f.maker.Envelope(f.t, sequence, i)))
	rel := answer[apitype.Release](f.t, resp, err)
	if len(rel.Missing) != 1 || rel.State != apitype.ReleaseStateMissing {
		f.t.Fatalf("release %+v", rel)
	}
	resp, err = f.client.PutImageWithBody(f.t.Context(), f.product, rel.ReleaseID, i.Module, octets, bytes.NewReader(i.Data))
	answer[apitype.Release](f.t, resp, err)
	return f.until(rel.ReleaseID, func(r apitype.Release) bool { return r.State == apitype.ReleaseStateReady })
}

// until waits for a release to be so.
func (f *factory) until(id string, ok func(apitype.Release) bool) apitype.Release {
	f.t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		resp, err := f.client.GetRelease(f.t.Context(), f.product, id)
		rel := answer[apitype.Release](f.t, resp, err)
		if ok(rel) {
			return rel
		}
		if time.Now().After(end) {
			f.t.Fatalf("release is still %+v", rel)
		}
	}
}

func (f *factory) start(release string) (task string) {
	f.t.Helper()
	resp, err := f.client.CreateOTATask(f.t.Context(), f.product, apitype.NewOTATask{FirmwareID: release, Targets: apitype.OTATargets{All: true}})
	return answer[apitype.OTATask](f.t, resp, err).TaskID
}

// became waits until the task's one device is in a state.
func (f *factory) became(task, state string) apitype.OTADevice {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), time.Minute)
	defer cancel()
	return f.becameWithin(ctx, task, state)
}

func (f *factory) becameWithin(ctx context.Context, task, state string) apitype.OTADevice {
	f.t.Helper()
	for ; ; time.Sleep(20 * time.Millisecond) {
		resp, err := f.client.ListOTADevices(f.t.Context(), f.product, task, &apitype.ListOTADevicesParams{})
		var d apitype.OTADevice
		if list := answer[apitype.OTADeviceList](f.t, resp, err).Items; len(list) == 1 {
			d = list[0]
		}
		if string(d.State) == state {
			return d
		}
		if ctx.Err() != nil {
			f.t.Fatalf("device is %+v, want %s", d, state)
		}
	}
}

// picture is an image of n bytes that do not compress, and the same with a few changes.
func picture(n int) (old, next []byte) {
	old = make([]byte, n)
	_, _ = rand.Read(old)
	next = append(append(append([]byte{}, old[:n/2]...), "four more words there"...), old[n/2:]...)
	return old, next
}

// TestRelease: a signed release goes from whoever makes it to a device that trusts nobody else, twice: whole, and by a delta. Once in JSON from a
// folder, once in CBOR from a bucket.
func TestRelease(t *testing.T) {
	beside(t)
	for _, format := range []codec.Format{codec.JSON, codec.CBOR} {
		t.Run(format.String(), func(t *testing.T) {
			var args []string
			if format == codec.CBOR {
				s3 := harness.StartS3(t)
				args = []string{"--blob-url", "s3://" + s3.AccessKey + ":" + s3.SecretKey + "@" + s3.Addr + "/" + s3.Bucket + "/hub?ca=" + s3.CAFile}
			}
			hub := harness.StartHub(t, harness.HubOptions{Args: args})
			f := newFactory(t, hub)
			root := f.trust()
			cred := hub.Devices(f.product, 1)[0]
			options := "fw=suit;buf=24576"
			if format == codec.CBOR {
				options += ";enc=cbor"
			}
			v := newVerifier(t, hub, cred, format, options)
			v.root = root
			old, next := picture(1 << 20)
			first := f.push(1, artifacttest.Image{Module: "default", Version: "1.0", Data: old, Chunks: true})
			task := f.start(first.ReleaseID)
			v.wholeUpdate(f, task)

			root2 := f.trust() // the device hears of it with its next assignment
			second := f.push(2, artifacttest.Image{Module: "default", Version: "2.0", Data: next, Chunks: true})
			sum := manifest.Digest(sum256(old))
			say(v, message.OTAReportVersion, message.OTAVersion{Module: "default", Version: "1.0", Manifest: true, Image: sum[:], Sequence: 1, Root: 1})
			f.until(second.ReleaseID, func(r apitype.Release) bool {
				for _, file := range r.Files {
					if file.Kind == "delta" && file.State == "ready" {
						return file.Base == sum.String() && file.Size < 100_000
					}
				}
				return false
			})
			v.deltaUpdate(f, f.start(second.ReleaseID), root2, sum)
		})
	}
}

// wholeUpdate goes from the offer to the attestation by the full pack.
func (v *verifier) wholeUpdate(f *factory, task string) {
	t := v.t
	t.Helper()
	offer := hear[message.OTAOffer](v, message.OTAOfferFirmware)
	if offer.Deployment != task || offer.Attempt != 1 || offer.Version != "1.0" || offer.Size != 1<<20 {
		t.Fatalf("offer %+v", offer)
	}
	f.became(task, "pending")
	rel := v.question(offer)
	a := v.assigned(offer, rel)
	v.report(offer, 1, "accepted")
	v.report(offer, 2, "downloading")
	f.became(task, "downloading")
	v.download(a, rel, "")
	v.report(offer, 3, "staged")
	v.report(offer, 2, "downloading") // late, and known
	v.report(offer, 4, "trial")
	f.became(task, "burning")
	v.attest(task, rel.Digest, false)
	f.became(task, "burning")
	v.attest(task, rel.Digest, true)
	f.became(task, "succeeded")
	v.attest(task, rel.Digest, true) // the answer was lost
	v.state = v.state.Confirmed(rel)

	// A question about what is over is answered, and one with rubbish.
	say(v, message.OTARequestAssignment, message.OTAQuestion{Deployment: task, Module: "default", Digest: rel.Digest[:], Nonce: make([]byte, 16), Root: 1})
	if got := hear[message.OTARefused](v, message.OTAAssignmentRefused); got.Reason != "ended" {
		t.Errorf("refused %+v", got)
	}
	say(v, message.OTARequestAssignment, message.OTAQuestion{Deployment: "1", Module: "default", Digest: rel.Digest[:], Nonce: make([]byte, 16), Root: 1})
	if got := hear[message.OTARefused](v, message.OTAAssignmentRefused); got.Reason != "unknown_deployment" {
		t.Errorf("refused %+v", got)
	}
}

// deltaUpdate hears of another root and takes the delta.
func (v *verifier) deltaUpdate(f *factory, task string, root *signing.Root, base manifest.Digest) {
	t := v.t
	t.Helper()
	offer := hear[message.OTAOffer](v, message.OTAOfferFirmware)
	rel := v.question(offer)
	next, err := v.root.Next(hear[message.OTABytes](v, message.OTARootUpdate).Bytes)
	if err != nil || next.Version != root.Version {
		t.Fatalf("root: %v", err)
	}
	v.state, v.root = v.state.Adopt(v.root, next), next
	a := v.assigned(offer, rel)
	v.report(offer, 1, "downloading")
	v.download(a, rel, base.String())
	v.report(offer, 2, "trial")
	v.attest(task, manifest.Digest{1}, true) // it went back to something else
	if d := f.became(task, "rolled_back"); d.Class == "" {
		t.Errorf("device %+v", d)
	}
	v.attest(task, rel.Digest, true) // what has ended stays so
	f.became(task, "rolled_back")
}

// download makes the image by ranges of the full pack, or of the delta from base.
func (v *verifier) download(a *signing.Assignment, rel *signing.Release, base string) {
	t := v.t
	t.Helper()
	c := rel.Component("default")
	index, err := image.ParseVerified(v.get(a.Sources[0]+"index/default"), image.Digest(c.Index.Digest))
	if err != nil {
		t.Fatal(err)
	}
	pack, err := image.OpenPack(t.Context(), newRanges(t, a.Sources[0]+"pack/default"), index)
	if err != nil {
		t.Fatal(err)
	}
	out := &slot{}
	cfg := delta.Config{Index: index, Target: out, Fetch: pack}
	if base != "" {
		cfg.Base = bytes.NewReader(v.image)
		if cfg.Pack, err = delta.Open(t.Context(), newRanges(t, a.Sources[0]+"delta/default/"+base), index); err != nil {
			t.Fatal(err)
		}
	}
	report, err := delta.Apply(t.Context(), cfg)
	if err != nil || manifest.Digest(sum256(out.b)) != c.Image.Digest {
		t.Fatalf("another image: %+v, %v", report, err)
	}
	if base != "" && report.Net > 100_000 {
		t.Errorf("the delta took %d bytes", report.Net)
	}
	v.image = out.b
}

// slot is where an image is written.
type slot struct{ b []byte }

func (s *slot) ReadAt(p []byte, off int64) (int, error) { return bytes.NewReader(s.b).ReadAt(p, off) }

func (s *slot) WriteAt(p []byte, off int64) (int, error) {
	if need := int(off) + len(p); need > len(s.b) {
		s.b = append(s.b, make([]byte, need-len(s.b))...)
	}
	return copy(s.b[off:], p), nil
}

func (s *slot) Sync() error { return nil }

// ranges is a file of the hub's, read by range requests under one ETag.
type ranges struct {
	url, etag string
	size      int64
}

func newRanges(t *testing.T, url string) *ranges {
	t.Helper()
	resp, err := web.Head(url)
	if err != nil || resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Header.Get("ETag"), `"`) {
		t.Fatalf("%s: %+v, %v", url, resp, err)
	}
	_ = resp.Body.Close()
	return &ranges{url, resp.Header.Get("ETag"), resp.ContentLength}
}

func (r *ranges) Size() int64 { return r.size }

func (r *ranges) Range(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", off, off+n-1))
	req.Header.Set("If-Range", r.etag)
	resp, err := web.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusPartialContent || resp.ContentLength != n {
		return nil, errors.Join(fmt.Errorf("%s, %d bytes", resp.Status, resp.ContentLength), resp.Body.Close())
	}
	return resp.Body, nil
}

func sum256(b []byte) [sha256.Size]byte { return sha256.Sum256(b) }
