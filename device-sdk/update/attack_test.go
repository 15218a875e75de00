package update_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/hawser-iot/hawser/device-sdk/devicetest"
	"github.com/hawser-iot/hawser/device-sdk/update"
	"github.com/hawser-iot/hawser/firmware/failure"
	"github.com/hawser-iot/hawser/firmware/imagetest"
	"github.com/hawser-iot/hawser/firmware/manifest"
	"github.com/hawser-iot/hawser/firmware/signing"
	"github.com/hawser-iot/hawser/protocol/message"
)

// attack is one row of the table: what the hub, the network or a thief does, and the class in which it ends.
type attack struct {
	name string
	do   func(t *testing.T, r *rig) (number string) // offers what is attacked with
	want failure.Class
}

// offering is an attack by one offer.
func offering(make func(r *rig) devicetest.Offer) func(*testing.T, *rig) string {
	return func(_ *testing.T, r *rig) string { return r.offer(make(r)) }
}

// signedBy is an attack with a release that other keys have signed.
func signedBy(keys func(a *devicetest.Authority) []signing.PrivateKey) func(*testing.T, *rig) string {
	return offering(func(r *rig) devicetest.Offer {
		return devicetest.Offer{Release: r.build(devicetest.Firmware{Keys: keys(r.authority)})}
	})
}

// assigning is an attack by an assignment that the director has signed, changed.
func assigning(change func(r *rig, a *signing.Assignment)) func(*testing.T, *rig) string {
	return offering(func(r *rig) devicetest.Offer {
		return devicetest.Offer{Assign: func(a *signing.Assignment) { change(r, a) }}
	})
}

// serving is an attack by a download server that gives something else for one file.
func serving(path string, f func(r *rig, rel *devicetest.Release) http.HandlerFunc) func(*testing.T, *rig) string {
	return offering(func(r *rig) devicetest.Offer {
		rel := r.build(devicetest.Firmware{Images: map[string][]byte{"default": newImage}})
		h := f(r, rel)
		return devicetest.Offer{Release: rel, Serve: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if p := strings.TrimPrefix(req.URL.Path, "/"); p != path {
				rel.ServeHTTP(w, req, p)
				return
			}
			h(w, req)
		})}
	})
}

// file is an attack by a server that has other bytes for a file.
func file(path string, change func(b []byte) []byte) func(*testing.T, *rig) string {
	return serving(path, func(_ *rig, rel *devicetest.Release) http.HandlerFunc {
		other := &devicetest.Release{Files: maps.Clone(rel.Files)}
		other.Files[path] = change(slices.Clone(rel.Files[path]))
		return func(w http.ResponseWriter, req *http.Request) { other.ServeHTTP(w, req, path) }
	})
}

// rooted is an attack with a root document before the assignment.
func rooted(make func(t *testing.T, r *rig) []byte) func(*testing.T, *rig) string {
	return func(t *testing.T, r *rig) string { return r.offer(devicetest.Offer{Roots: [][]byte{make(t, r)}}) }
}

var attacks = []attack{
	{"arbitrary software: k-1 keys", signedBy(func(a *devicetest.Authority) []signing.PrivateKey { return a.ReleaseKeys[:1] }), failure.Signature},
	{"arbitrary software: one key k times", offering(oneKeyTwice), failure.Signature},
	{"arbitrary software: a key of another role", signedBy(func(a *devicetest.Authority) []signing.PrivateKey {
		return []signing.PrivateKey{a.ReleaseKeys[0], a.Director}
	}), failure.Signature},
	{"arbitrary software: root keys", signedBy(func(a *devicetest.Authority) []signing.PrivateKey { return a.RootKeys[:2] }), failure.Signature},
	{"arbitrary software: another manifest than was offered", offering(func(r *rig) devicetest.Offer {
		return devicetest.Offer{Change: func(o *message.OTAOffer) { o.Digest = make([]byte, 32) }}
	}), failure.Signature},
	{"arbitrary software: an assignment by a release key", offering(func(r *rig) devicetest.Offer {
		a := *r.authority
		a.Director = a.ReleaseKeys[0]
		return devicetest.Offer{Authority: &a}
	}), failure.Signature},
	{"arbitrary software: an assignment of another release", assigning(func(_ *rig, a *signing.Assignment) { a.Manifest[0] ^= 1 }), failure.Signature},
	{"arbitrary software: without a manifest", func(t *testing.T, r *rig) string {
		number, err := r.hub.OfferStockFirmware(r.id, "6.6.6", newImage)
		if err != nil {
			t.Fatal(err)
		}
		return number
	}, "-101"},

	{"rollback: an older release", sequence(4, func(m *manifest.Manifest) {}), failure.Rollback},
	{"rollback: the same sequence number, another digest", sequence(5, func(m *manifest.Manifest) { m.Components[0].Description = "other" }), failure.Rollback},
	{"rollback: the store set back", storeSetBack, failure.Stale},

	{"replay: a recorded assignment", replay, failure.Stale},
	{"replay: the assignment of another device", assigning(func(_ *rig, a *signing.Assignment) { a.Device = "70ly1tvowt696r15.other" }), failure.WrongDevice},
	{"replay: another nonce", assigning(func(_ *rig, a *signing.Assignment) { a.Nonce = bytes.Repeat([]byte{1}, 32) }), failure.Stale},
	{"freeze: clock at 2100", clock(time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)), failure.Stale},
	{"freeze: an assignment that has ended", assigning(func(_ *rig, a *signing.Assignment) {
		a.Issued, a.NotAfter = a.Issued.Add(-2*time.Hour), a.Issued.Add(-time.Hour)
	}), failure.Stale},

	{"mix-and-match: the image of another release", mixed("image"), failure.Hash},
	{"mix-and-match: index and pack of another release", mixed("index", "pack"), failure.Hash},
	{"partial bundle: an image is missing", partial, failure.Auth},

	{"endless data: manifest over 64 KiB", file("manifest", func(b []byte) []byte { return append(b, make([]byte, 80<<10)...) }), failure.Signature},
	{"endless data: a manifest that streams for ever", serving("manifest", endless), failure.Signature},
	{"endless data: an index that streams for ever", serving("index/default", endless), failure.Hash},
	{"endless data: a pack that streams for ever", serving("pack/default", endless), failure.Server},
	{"endless data: an index of 10^9 entries", hugeIndex, failure.Hash},
	{"endless data: an index with a size of 1 GiB", offering(func(r *rig) devicetest.Offer {
		return devicetest.Offer{Release: r.build(devicetest.Firmware{Images: map[string][]byte{"default": newImage},
			Change: func(m *manifest.Manifest) { m.Components[0].Index.Size = 1 << 30 }})}
	}), failure.Hash},
	{"endless data: zstd bombs in chunks", file("pack/default", bombs), failure.Hash},

	{"slow retrieval: 1 byte a tick", serving("pack/default", slowly(0)), failure.Network},
	{"slow retrieval: a stall after the headers", serving("pack/default", stall(0)), failure.Network},
	{"slow retrieval: a stall at 99 %", serving("pack/default", stall(99)), failure.Network},
	{"slow retrieval: a manifest that stalls", serving("manifest", stall(50)), failure.Network},

	{"wrong device: another class", built(devicetest.Firmware{Class: manifest.ClassID(devicetest.TestVendor, "toaster")}), failure.WrongDevice},
	{"wrong device: another vendor", built(devicetest.Firmware{Vendor: manifest.VendorID("other.example")}), failure.WrongDevice},
	{"wrong device: a module that it has not", built(devicetest.Firmware{Images: map[string][]byte{"radio": newImage}}), failure.WrongDevice},
	{"wrong device: something else comes first", built(devicetest.Firmware{Change: func(m *manifest.Manifest) {
		m.Components[0].From = manifest.Rule{Comparison: manifest.GreaterEqual, Version: manifest.Version{1, 5}}
	}}), failure.Dependency},

	{"fast-forward: counter 2^63", fastForward, failure.Stale},

	{"key compromise: root N+1 by keys of N only", rooted(func(t *testing.T, r *rig) []byte { return rotated(t, r, 1, r.authority.RootKeys[:2], true) }), failure.Signature},
	{"key compromise: root N+1 by keys of N+1 only", rooted(func(t *testing.T, r *rig) []byte { return rotated(t, r, 1, nil, true) }), failure.Signature},
	{"key compromise: root N+1 skipped", rooted(func(t *testing.T, r *rig) []byte { return rotated(t, r, 2, r.authority.RootKeys[:2], false) }), failure.Dependency},
	{"key compromise: release keys that root N+1 has not", rooted(func(t *testing.T, r *rig) []byte {
		next := r.authority.Root.Successor(time.Now())
		next.SetRole(signing.RoleRelease, 2, publicKeys(newKeys(t, 3))...)
		return signedRoot(t, next, r.authority.RootKeys[:2]...)
	}), failure.Signature},
}

// TestAttacks makes each attack of docs/firmware-signing.md and of the plan's list against a whole device: it ends in its class, the old slot runs
// and no other is armed.
func TestAttacks(t *testing.T) {
	hub, authority := devicetest.New(t), newAuthority(t)
	for _, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			own := *authority
			r := newRigWith(t, hub, &own, oldBoard(t))
			r.change = hasty
			u := r.until(a.do(t, r), func(u devicetest.Update) bool {
				return slices.Contains([]string{"rejected", "failed", "confirmed"}, u.State())
			})
			if u.Last.Class != string(a.want) || u.State() == "confirmed" {
				t.Errorf("ended as %s with class %q, want %q", u.State(), u.Last.Class, a.want)
			}
			r.oldRuns()
		})
	}
}

// hasty makes a device impatient.
func hasty(c *update.Config) {
	c.Download.Stall, c.Download.MinRate, c.Download.Rounds = 100*time.Millisecond, 2000, 2
}

// oldRuns tells whether the device is as it was.
func (r *rig) oldRuns() {
	r.t.Helper()
	boot, err := r.board.Boot(r.t.Context())
	if err != nil || boot.Slot != "A" || !boot.Confirmed || boot.Armed {
		r.t.Errorf("boot loader %+v, %v", boot, err)
	}
	r.runs(oldImage)
	if err := r.board.PowerOn(0); err != nil {
		r.t.Error(err)
	}
	if r.board.Running() != "A" {
		r.t.Errorf("slot %s started", r.board.Running())
	}
}

// TestEachByteOfTheEnvelope flips each byte of a signed manifest: all of that is refused.
func TestEachByteOfTheEnvelope(t *testing.T) {
	r := newRig(t)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { r.live(ctx) })
	rel := r.release()
	for i := range rel.Envelope {
		flipped := *rel
		flipped.Files = maps.Clone(rel.Files)
		flipped.Files["manifest"] = slices.Clone(rel.Envelope)
		flipped.Files["manifest"][i] ^= 1 << (i % 8)
		number := r.offer(devicetest.Offer{Release: &flipped})
		u, err := r.hub.WaitUpdate(ctx, number, in("rejected"))
		if err != nil || u.Last.Class != string(failure.Signature) {
			t.Fatalf("byte %d: %v, class %q", i, err, u.Last.Class)
		}
	}
	stop()
	wg.Wait()
	r.oldRuns()
}

// TestDeltaPoison makes random payloads of a delta pack: the chunks come from the full pack, and the image is right.
func TestDeltaPoison(t *testing.T) {
	r := newRig(t)
	rel := r.release()
	for path, b := range rel.Files {
		if strings.HasPrefix(path, "delta/") {
			rel.Files[path] = append(b[:len(b)-200:len(b)-200], imagetest.Stream("poison", 200)...)
		}
	}
	number := r.offer(devicetest.Offer{Release: rel})
	r.until(number, attested)
	r.runs(newImage)
}

// TestAttackersMirrors puts hostile mirrors before the honest source: the update comes about.
func TestAttackersMirrors(t *testing.T) {
	for name, h := range map[string]func(*rig, *devicetest.Release) http.HandlerFunc{
		"slow": slowly(0), "stalls": stall(0), "stalls at 99 %": stall(99), "endless": endless,
		"other bytes": func(_ *rig, rel *devicetest.Release) http.HandlerFunc {
			other := &devicetest.Release{Files: maps.Clone(rel.Files)}
			for path, b := range rel.Files {
				other.Files[path] = append(b[:len(b)/3:len(b)/3], imagetest.Stream("other", len(b)-len(b)/3)...)
			}
			return func(w http.ResponseWriter, req *http.Request) {
				other.ServeHTTP(w, req, strings.TrimPrefix(req.URL.Path, "/"))
			}
		},
		"not there": func(*rig, *devicetest.Release) http.HandlerFunc { return http.NotFound },
		"broken": func(*rig, *devicetest.Release) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.change = hasty
			rel := r.build(devicetest.Firmware{Images: map[string][]byte{"default": newImage}})
			mirror := newServer(t, h(r, rel))
			r.until(r.offer(devicetest.Offer{Release: rel, Mirrors: []string{mirror + "/"}}), attested)
			r.runs(newImage)
		})
	}
}

// TestClockAt1970 shows that a device without a clock takes an honest update.
func TestClockAt1970(t *testing.T) {
	r := newRig(t)
	r.change = func(c *update.Config) { c.Now = func() time.Time { return time.Unix(0, 0) } }
	r.until(r.offer(devicetest.Offer{}), attested)
	r.runs(newImage)
}

func oneKeyTwice(r *rig) devicetest.Offer {
	rel := r.build(devicetest.Firmware{Keys: r.authority.ReleaseKeys[:1]})
	e, err := manifest.ParseEnvelope(rel.Envelope)
	if err != nil {
		r.t.Fatal(err)
	}
	e.Signatures = append(e.Signatures, e.Signatures[0])
	if rel.Files["manifest"], err = e.Encode(); err != nil {
		r.t.Fatal(err)
	}
	return devicetest.Offer{Release: rel}
}

func built(f devicetest.Firmware) func(*testing.T, *rig) string {
	return offering(func(r *rig) devicetest.Offer { return devicetest.Offer{Release: r.build(f)} })
}

// sequence installs release 5 of the old image's content first, and goes back to slot A, which is then confirmed as 5.
func sequence(n uint64, change func(m *manifest.Manifest)) func(*testing.T, *rig) string {
	return func(_ *testing.T, r *rig) string {
		r.confirmedOld(5)
		return r.offer(devicetest.Offer{Release: r.build(devicetest.Firmware{Sequence: n, Images: map[string][]byte{"default": oldImage}, Change: change})})
	}
}

// confirmedOld brings the old image as releases up to a sequence number, so that it is in slot A again.
func (r *rig) confirmedOld(n uint64) {
	r.t.Helper()
	for _, n := range []uint64{n - 1, n} {
		r.until(r.offer(devicetest.Offer{Release: r.build(devicetest.Firmware{Sequence: n, Images: map[string][]byte{"default": oldImage}})}), attested)
	}
}

// fails offers what can't be downloaded, and waits for the end of that.
func (r *rig) fails(o devicetest.Offer) {
	r.t.Helper()
	o.Release = r.release()
	delete(o.Release.Files, "index/default")
	if u := r.until(r.offer(o), in("failed")); u.Last.Class != string(failure.Auth) {
		r.t.Errorf("class %q", u.Last.Class)
	}
}

// storeSetBack records an assignment and takes the records of the device back to before it.
func storeSetBack(t *testing.T, r *rig) string {
	recordAssignment(t, r)
	before, err := r.board.Store().Load("trust")
	if err != nil {
		t.Fatal(err)
	}
	recorded := recordAssignment(t, r)
	if before == nil {
		t.Fatal("there is no trust record to set back")
	}
	if err := r.board.Store().Save("trust", before); err != nil {
		t.Fatal(err)
	}
	return r.offer(devicetest.Offer{Answer: recorded})
}

// replay answers a question with an assignment that was recorded.
func replay(t *testing.T, r *rig) string {
	return r.offer(devicetest.Offer{Answer: recordAssignment(t, r)})
}

// recordAssignment records the assignment of an honest update that could not be downloaded.
func recordAssignment(t *testing.T, r *rig) func(message.OTAQuestion) []devicetest.Say {
	t.Helper()
	var recorded []byte
	answer := func(q message.OTAQuestion, b []byte) []devicetest.Say {
		return []devicetest.Say{{Method: message.OTAAssignment, Payload: message.OTABytes{Deployment: q.Deployment, Bytes: b}}}
	}
	r.fails(devicetest.Offer{Answer: func(q message.OTAQuestion) []devicetest.Say {
		b, err := r.hub.Assignment(q).Sign(r.authority.Director)
		if err != nil {
			t.Error(err)
		}
		recorded = b
		return answer(q, b)
	}})
	return func(q message.OTAQuestion) []devicetest.Say { return answer(q, recorded) }
}

func clock(at time.Time) func(*testing.T, *rig) string {
	return func(_ *testing.T, r *rig) string {
		r.change = func(c *update.Config) { c.Now = func() time.Time { return at } }
		return r.offer(devicetest.Offer{})
	}
}

// mixed serves files of another release, which is signed as well.
func mixed(kinds ...string) func(*testing.T, *rig) string {
	return offering(func(r *rig) devicetest.Offer {
		rel := r.build(devicetest.Firmware{Images: map[string][]byte{"default": newImage}, Plain: kinds[0] == "image"})
		other := r.build(devicetest.Firmware{Images: map[string][]byte{"default": imagetest.Stream("another", len(newImage))}})
		for _, k := range kinds {
			rel.Files[k+"/default"] = other.Files[k+"/default"]
		}
		return devicetest.Offer{Release: rel}
	})
}

// partial is a release of two images, one of which the server does not have.
func partial(t *testing.T, r *rig) string {
	images := map[string][]byte{"default": oldImage, "radio": oldImage[:50_000]}
	b, err := devicetest.NewBoard(slotSize, images)
	if err != nil {
		t.Fatal(err)
	}
	r.board = b
	r.change = func(c *update.Config) {
		hasty(c)
		c.Modules["radio"] = c.Modules["default"]
	}
	rel := r.build(devicetest.Firmware{Images: map[string][]byte{"default": newImage, "radio": newImage[:60_000]}})
	delete(rel.Files, "pack/radio")
	return r.offer(devicetest.Offer{Release: rel})
}

// endless answers everything with zeros without an end.
func endless(*rig, *devicetest.Release) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		w.WriteHeader(http.StatusOK)
		for req.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 32<<10)); err != nil {
				return
			}
		}
	}
}

// slowly gives a byte each 20 ms, from the start of a file.
func slowly(int) func(*rig, *devicetest.Release) http.HandlerFunc {
	return func(_ *rig, rel *devicetest.Release) http.HandlerFunc {
		return func(w http.ResponseWriter, req *http.Request) {
			rel.ServeHTTP(&brake{ResponseWriter: w, ctx: req.Context(), tick: 20 * time.Millisecond}, req, strings.TrimPrefix(req.URL.Path, "/"))
		}
	}
}

// stall gives percent of what is asked for and then nothing more.
func stall(percent int) func(*rig, *devicetest.Release) http.HandlerFunc {
	return func(_ *rig, rel *devicetest.Release) http.HandlerFunc {
		return func(w http.ResponseWriter, req *http.Request) {
			rel.ServeHTTP(&brake{ResponseWriter: w, ctx: req.Context(), percent: percent}, req, strings.TrimPrefix(req.URL.Path, "/"))
		}
	}
}

// brake is a ResponseWriter that holds back.
type brake struct {
	http.ResponseWriter
	ctx     context.Context // of the request
	tick    time.Duration   // for each piece; 0 stalls after percent
	piece   int             // bytes; 1 if 0
	percent int
}

func (b *brake) Write(p []byte) (int, error) {
	flush := func() { _ = http.NewResponseController(b.ResponseWriter).Flush() }
	if b.tick == 0 {
		_, err := b.ResponseWriter.Write(p[:len(p)*b.percent/100])
		flush()
		<-b.ctx.Done()
		return 0, cmpErr(err, b.ctx.Err())
	}
	step := max(b.piece, 1)
	for i := 0; i < len(p); i += step {
		if _, err := b.ResponseWriter.Write(p[i:min(i+step, len(p))]); err != nil {
			return i, err
		}
		flush()
		select {
		case <-time.After(b.tick):
		case <-b.ctx.Done():
			return i, b.ctx.Err()
		}
	}
	return len(p), nil
}

func cmpErr(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// hugeIndex is a signed index that says it has 10^9 entries.
func hugeIndex(t *testing.T, r *rig) string {
	rel := r.build(devicetest.Firmware{Images: map[string][]byte{"default": newImage}})
	b := slices.Clone(rel.Files["index/default"])
	// Member 5 is an array; its head becomes one of 10^9 elements.
	at := bytes.LastIndex(b[:40], []byte{0x05}) + 1
	huge := append(slices.Clone(b[:at]), 0x9a)
	huge = append(binary.BigEndian.AppendUint32(huge, 1_000_000_000), b[at+1:]...)
	rel = r.build(devicetest.Firmware{Images: map[string][]byte{"default": newImage}, Change: func(m *manifest.Manifest) {
		m.Components[0].Index = &manifest.Payload{Digest: sha256.Sum256(huge), Size: uint64(len(huge))}
	}})
	rel.Files["index/default"] = huge
	return r.offer(devicetest.Offer{Release: rel})
}

// bombs replaces the first frame of a pack by one that says and holds a GiB of zeros, as far as it has room.
func bombs(b []byte) []byte {
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err)
	}
	bomb := enc.EncodeAll(make([]byte, 64<<20), nil)
	copy(b[8:], bomb[:min(len(bomb), 10_000)])
	return b
}

// fastForward has the director assign with the highest counters; the honest hub's next assignment is then too old.
func fastForward(t *testing.T, r *rig) string {
	r.fails(devicetest.Offer{Assign: func(a *signing.Assignment) { a.Counter += 1 << 63 }})
	return r.offer(devicetest.Offer{})
}

// TestFastForwardIsRecovered shows the way out: root N+1 with another director.
func TestFastForwardIsRecovered(t *testing.T) {
	r := newRig(t)
	number := fastForward(t, r)
	if u := r.until(number, in("rejected")); u.Last.Class != string(failure.Stale) {
		t.Fatalf("class %q", u.Last.Class)
	}
	director := newKeys(t, 1)[0]
	next := r.authority.Root.Successor(time.Now().Truncate(time.Second))
	next.SetRole(signing.RoleDirector, 1, director.Public())
	doc := signedRoot(t, next, r.authority.RootKeys[:2]...)
	own := *r.authority
	own.Director = director
	u := r.until(r.offer(devicetest.Offer{Authority: &own, Roots: [][]byte{doc}}), attested)
	if u.Attested.Root != 2 {
		t.Errorf("attested %+v", u.Attested)
	}
	r.runs(newImage)
}

func newKeys(t *testing.T, n int) (list []signing.PrivateKey) {
	t.Helper()
	for range n {
		k, err := signing.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, k)
	}
	return list
}

func publicKeys(keys []signing.PrivateKey) (list []signing.PublicKey) {
	for _, k := range keys {
		list = append(list, k.Public())
	}
	return list
}

func signedRoot(t *testing.T, root *signing.Root, keys ...signing.PrivateKey) []byte {
	t.Helper()
	b, err := devicetest.SignRoot(root, keys...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// rotated is the root that follows by steps versions, signed by keys of the old one and, if its own are others, by fresh ones unless old keys sign.
func rotated(t *testing.T, r *rig, steps int, old []signing.PrivateKey, fresh bool) []byte {
	t.Helper()
	next := r.authority.Root
	for range steps {
		next = next.Successor(time.Now().Truncate(time.Second))
	}
	keys := old
	if fresh {
		own := newKeys(t, 3)
		next.SetRole(signing.RoleRoot, 2, publicKeys(own)...)
		if old == nil {
			keys = own[:2]
		}
	}
	return signedRoot(t, next, keys...)
}
