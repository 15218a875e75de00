package update_test

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/device-sdk/device"
	"github.com/hawser-iot/hawser/device-sdk/devicetest"
	"github.com/hawser-iot/hawser/device-sdk/link"
	"github.com/hawser-iot/hawser/device-sdk/update"
	"github.com/hawser-iot/hawser/firmware/failure"
	"github.com/hawser-iot/hawser/firmware/imagetest"
	"github.com/hawser-iot/hawser/firmware/manifest"
	"github.com/hawser-iot/hawser/firmware/signing"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/topic"
)

var allStates = []string{"accepted", "downloading", "staged", "armed", "rebooting", "trial", "confirmed"}

// TestUpdate is an update as it should be: from an offer to an attestation, by a delta.
func TestUpdate(t *testing.T) {
	r := newRig(t)
	rel := r.release()
	number := r.offer(devicetest.Offer{Release: rel})
	u := r.until(number, attested)
	if !slices.Equal(u.States, allStates) {
		t.Errorf("states %q, want %q", u.States, allStates)
	}
	if a := u.Attested; a.Booted != rel.Digest || !a.Confirmed || a.Slot != "B" || a.Sequence != 1 || a.Root != 1 {
		t.Errorf("attested %+v", a)
	}
	r.runs(newImage)
	if u.Sent > 30_000 {
		t.Errorf("%d bytes for an update with a delta", u.Sent)
	}
	// The same release once more is attested, and not installed again.
	if u := r.until(r.offer(devicetest.Offer{Release: rel}), attested); u.Sent != 0 || u.Attested.Booted != rel.Digest {
		t.Errorf("%d bytes, attested %+v", u.Sent, u.Attested)
	}
	// The next one goes back to slot A, and its delta is from the image that the last one has brought.
	next := append(slices.Clone(newImage), "a little more"...)
	r.board.Bootable(next)
	rel = r.build(devicetest.Firmware{Version: "3.0", Sequence: 2, Images: map[string][]byte{"default": next}, Old: map[string][]byte{"default": newImage}})
	if u := r.until(r.offer(devicetest.Offer{Release: rel}), attested); u.Sent > 10_000 || u.Attested.Slot != "A" || u.Attested.Sequence != 2 {
		t.Errorf("%d bytes, attested %+v", u.Sent, u.Attested)
	}
	r.runs(next)
}

// TestVariants are updates in other circumstances.
func TestVariants(t *testing.T) {
	for name, prepare := range map[string]func(t *testing.T, r *rig) devicetest.Offer{
		"CBOR": func(_ *testing.T, r *rig) devicetest.Offer {
			r.dial = func(c *device.Config) { c.CBOR = true }
			r.change = func(c *update.Config) { c.CBOR = true }
			return devicetest.Offer{}
		},
		"an image without an index": func(_ *testing.T, r *rig) devicetest.Offer {
			return devicetest.Offer{Release: r.build(devicetest.Firmware{Images: map[string][]byte{"default": newImage}, Plain: true})}
		},
		"without a base": func(_ *testing.T, r *rig) devicetest.Offer {
			r.change = func(c *update.Config) { c.Storage = baseless{c.Storage} }
			return devicetest.Offer{}
		},
		"a delta from another base": func(_ *testing.T, r *rig) devicetest.Offer {
			rel := r.release()
			for path, b := range rel.Files {
				if strings.HasPrefix(path, "delta/") {
					rel.Files[path] = append(b[:40:40], append(imagetest.Stream("base", 8), b[48:]...)...)
				}
			}
			return devicetest.Offer{Release: rel}
		},
		"https with the hub's own authority": func(t *testing.T, r *rig) devicetest.Offer {
			rel := r.release()
			s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				rel.ServeHTTP(w, req, strings.TrimPrefix(req.URL.Path, "/"))
			}))
			t.Cleanup(s.Close)
			ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
			r.change = func(c *update.Config) {
				var err error
				if c.Download.TLS, err = (link.TLS{CA: ca}).Config(); err != nil {
					t.Error(err)
				}
			}
			return devicetest.Offer{Release: rel, Assign: func(a *signing.Assignment) { a.Sources = []string{s.URL} }}
		},
		"a window that is open": func(_ *testing.T, r *rig) devicetest.Offer {
			return devicetest.Offer{Assign: func(a *signing.Assignment) { a.Window = &signing.Window{Zone: "UTC", Cron: "* * * * *", Minutes: 5} }}
		},
		"a new root document on the way": func(t *testing.T, r *rig) devicetest.Offer {
			two := r.authority.Root.Successor(time.Now().Truncate(time.Second))
			b2 := signedRoot(t, two, r.authority.RootKeys[:2]...)
			three := two.Successor(time.Now().Truncate(time.Second))
			b3 := signedRoot(t, three, r.authority.RootKeys[1:]...)
			return devicetest.Offer{Roots: [][]byte{b2, b3}}
		},
		"a hub that is busy at times": func(_ *testing.T, r *rig) devicetest.Offer {
			rel, n := r.release(), atomic.Int64{}
			return devicetest.Offer{Release: rel, Serve: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				if n.Add(1)%9 != 0 {
					w.WriteHeader(http.StatusServiceUnavailable)
					return
				}
				rel.ServeHTTP(w, req, strings.TrimPrefix(req.URL.Path, "/"))
			})}
		},
		"sources that end": func(_ *testing.T, r *rig) devicetest.Offer {
			rel, n := r.build(devicetest.Firmware{Images: map[string][]byte{"default": newImage}}), atomic.Int64{}
			return devicetest.Offer{Release: rel, Serve: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				if n.Add(1) == 5 {
					http.NotFound(w, req)
					return
				}
				rel.ServeHTTP(w, req, strings.TrimPrefix(req.URL.Path, "/"))
			})}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			u := r.until(r.offer(prepare(t, r)), attested)
			r.runs(newImage)
			if !slices.Equal(slices.Compact(u.States), allStates) && name != "sources that end" {
				t.Errorf("states %q", u.States)
			}
		})
	}
}

// baseless is a Storage without a base.
type baseless struct{ update.Storage }

func (baseless) Base(string) (update.Base, error) { return nil, update.ErrNoBase }

// TestTwoModules are installed together.
func TestTwoModules(t *testing.T) {
	r := newRig(t)
	var err error
	if r.board, err = devicetest.NewBoard(slotSize, map[string][]byte{"default": oldImage, "radio": oldImage[:50_000]}); err != nil {
		t.Fatal(err)
	}
	radio := imagetest.Stream("radio", 60_000)
	r.board.Bootable(newImage)
	r.board.Bootable(radio)
	r.change = func(c *update.Config) {
		c.Modules["radio"] = update.Module{Vendor: devicetest.TestVendor, Class: devicetest.TestClass, Version: "0.9"}
	}
	rel := r.build(devicetest.Firmware{Images: map[string][]byte{"default": newImage, "radio": radio}, Old: map[string][]byte{"default": oldImage}})
	r.until(r.offer(devicetest.Offer{Release: rel}), attested)
	r.runs(newImage)
	if !bytes.HasPrefix(r.board.Slot("B", "radio"), radio) {
		t.Error("the radio has another image")
	}
	// What the hub is told at the next login.
	stop := r.alive()
	m, err := r.hub.WaitMessage(t.Context(), func(m devicetest.Message) bool {
		v, err := message.DecodeOTA[message.OTAVersion](m.Payload)
		return m.From == r.id && m.Topic.Kind == topic.OTAUpstream && err == nil && v.Module == "radio" && v.Version == "2.0"
	})
	stop()
	if err != nil {
		t.Fatal(err)
	}
	v, _ := message.DecodeOTA[message.OTAVersion](m.Payload)
	if c := mustManifest(t, rel).Component("radio"); !v.Manifest || !bytes.Equal(v.Image, c.Image.Digest[:]) || v.Sequence != 1 || v.Root != 1 {
		t.Errorf("announced %+v", v)
	}
}

func mustManifest(t *testing.T, rel *devicetest.Release) *manifest.Manifest {
	t.Helper()
	e, err := manifest.ParseEnvelope(rel.Envelope)
	if err != nil {
		t.Fatal(err)
	}
	m, err := e.Unverified()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestWaiting holds an update for each reason, which the hub is told, until it is gone.
func TestWaiting(t *testing.T) {
	var open atomic.Bool
	noRoom := failure.New(failure.Space, "test: no room")
	for _, tt := range []struct {
		class  failure.Class
		change func(c *update.Config)
		assign func(a *signing.Assignment)
	}{
		{failure.Consent, func(c *update.Config) {
			c.Consent = func(_ context.Context, r update.Release) error {
				if r.Images[0].Version != "2.0" || r.Size() != int64(len(newImage)) {
					return errors.New("another release")
				}
				if !open.Load() {
					return failure.New(failure.Consent, "test: nobody is there")
				}
				return nil
			}
		}, nil},
		{failure.Power, func(c *update.Config) {
			c.Power = func(context.Context) error {
				if !open.Load() {
					return errors.New("battery")
				}
				return nil
			}
		}, nil},
		{failure.Space, func(c *update.Config) { c.Storage = &small{c.Storage, &open, noRoom} }, nil},
		{failure.Window, func(c *update.Config) {
			c.Now = func() time.Time {
				day := time.Date(time.Now().Year()+1, 6, 1, 12, 0, 0, 0, time.UTC)
				if open.Load() {
					return day.Add(3 * time.Hour)
				}
				return day
			}
		}, func(a *signing.Assignment) {
			a.NotAfter = a.Issued.AddDate(3, 0, 0)
			a.Window = &signing.Window{Zone: "UTC", Cron: "0 14 * * *", Minutes: 90}
		}},
	} {
		t.Run(string(tt.class), func(t *testing.T) {
			open.Store(false)
			r := newRig(t)
			r.change = tt.change
			number := r.offer(devicetest.Offer{Assign: tt.assign})
			stop := r.alive()
			waits := func(u devicetest.Update) bool { return u.State() == "waiting" && u.Last.Class == string(tt.class) }
			r.await(number, waits)
			if r.board.Slot("B", "default")[0] != 0 {
				t.Error("something was written")
			}
			// It is held over a restart, and without a hub.
			stop()
			r.hub.Pause()
			if err := r.hub.Resume(); err != nil {
				t.Fatal(err)
			}
			r.alive()
			r.await(number, waits)
			open.Store(true)
			r.await(number, attested)
			r.runs(newImage)
		})
	}
}

// small is a Storage without room while it is not open.
type small struct {
	update.Storage
	open *atomic.Bool
	err  error
}

func (s *small) Target(module string, size int64) (update.Target, error) {
	if !s.open.Load() {
		return nil, s.err
	}
	return s.Storage.Target(module, size)
}

// TestNo is an owner who refuses.
func TestNo(t *testing.T) {
	r := newRig(t)
	r.change = func(c *update.Config) {
		c.Consent = func(context.Context, update.Release) error { return errors.New("not on this device") }
	}
	if u := r.until(r.offer(devicetest.Offer{}), in("failed")); u.Last.Class != string(failure.Cancelled) {
		t.Errorf("class %q", u.Last.Class)
	}
	r.oldRuns()
}

// TestCancel calls an update off while it waits, and while it is downloaded.
func TestCancel(t *testing.T) {
	for name, state := range map[string]string{"waiting": "waiting", "downloading": "downloading"} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			o := devicetest.Offer{Release: r.release()}
			if state == "waiting" {
				r.change = func(c *update.Config) {
					c.Consent = func(context.Context, update.Release) error { return failure.New(failure.Consent, "nobody is there") }
				}
			} else {
				h := stall(50)(r, o.Release)
				o.Serve = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
					if strings.HasPrefix(req.URL.Path, "/index") {
						h(w, req)
						return
					}
					o.Release.ServeHTTP(w, req, strings.TrimPrefix(req.URL.Path, "/"))
				})
			}
			number := r.offer(o)
			r.alive()
			r.await(number, in(state))
			if err := r.hub.CancelFirmware(number); err != nil {
				t.Fatal(err)
			}
			if u := r.await(number, in("failed")); u.Last.Class != string(failure.Cancelled) {
				t.Errorf("class %q", u.Last.Class)
			}
			r.idle(t.Context())
			r.oldRuns()
		})
	}
}

// TestSuperseded gives up an update for a newer one of the same module.
func TestSuperseded(t *testing.T) {
	r := newRig(t)
	var first atomic.Bool
	r.change = func(c *update.Config) {
		c.Consent = func(_ context.Context, r update.Release) error {
			if r.Images[0].Version == "2.0" {
				first.Store(true)
				return failure.New(failure.Consent, "nobody is there")
			}
			return nil
		}
	}
	old := r.offer(devicetest.Offer{})
	r.alive()
	r.await(old, in("waiting"))
	next := r.offer(devicetest.Offer{Release: r.build(devicetest.Firmware{Version: "2.1", Sequence: 2})})
	r.await(next, attested)
	if u := r.await(old, in("failed")); u.Last.Class != string(failure.Cancelled) || !first.Load() {
		t.Errorf("class %q", u.Last.Class)
	}
	r.runs(newImage)
}

// TestRefusedAssignment leaves an update whose assignment the hub refuses, and takes it when it is offered again.
func TestRefusedAssignment(t *testing.T) {
	r := newRig(t)
	var paused atomic.Bool
	paused.Store(true)
	asked := make(chan struct{}, 10)
	o := devicetest.Offer{Release: r.release()}
	o.Answer = func(q message.OTAQuestion) []devicetest.Say {
		asked <- struct{}{}
		if paused.Load() {
			return []devicetest.Say{{Method: message.OTAAssignmentRefused, Payload: message.OTARefused{Deployment: q.Deployment, Reason: "paused"}}}
		}
		b, err := r.hub.Assignment(q).Sign(r.authority.Director)
		if err != nil {
			t.Error(err)
		}
		return []devicetest.Say{{Method: message.OTAAssignment, Payload: message.OTABytes{Deployment: q.Deployment, Bytes: b}}}
	}
	number := r.offer(o)
	stop := r.alive()
	<-asked
	r.idle(t.Context())
	if u := r.hub.FirmwareUpdate(number); len(u.States) != 0 {
		t.Errorf("states %q", u.States)
	}
	r.oldRuns()
	stop()
	paused.Store(false)
	r.until(number, attested)
	r.runs(newImage)
}

// TestRolledBack are releases that do not boot, or are not well.
func TestRolledBack(t *testing.T) {
	t.Run("does not boot", func(t *testing.T) {
		r := newRig(t)
		img := imagetest.Stream("a program that crashes", 90_000)
		number := r.offer(devicetest.Offer{Release: r.build(devicetest.Firmware{Images: map[string][]byte{"default": img}})})
		u := r.until(number, attested)
		if u.State() != "rolled_back" || u.Last.Class != string(failure.BootFailed) || u.Attested.Slot != "A" || !u.Attested.Confirmed {
			t.Errorf("%s %s, attested %+v", u.State(), u.Last.Class, u.Attested)
		}
		r.oldRuns()
	})
	t.Run("is not well", func(t *testing.T) {
		r := newRig(t)
		r.change = func(c *update.Config) {
			c.TrialTimeout = 100 * time.Millisecond
			c.Healthy = func(context.Context) error { return errors.New("no pressure") }
		}
		u := r.until(r.offer(devicetest.Offer{}), attested)
		if want := []string{"accepted", "downloading", "staged", "armed", "rebooting", "trial", "reverting", "rolled_back"}; !slices.Equal(u.States, want) {
			t.Errorf("states %q, want %q", u.States, want)
		}
		if u.Last.Class != string(failure.HealthFailed) || u.Attested.Booted != (manifest.Digest{}) || u.Attested.Slot != "A" {
			t.Errorf("class %q, attested %+v", u.Last.Class, u.Attested)
		}
		r.oldRuns()
		// The floor has not risen: the same release may be tried again.
		r.change = nil
		r.until(r.offer(devicetest.Offer{}), attested)
		r.runs(newImage)
	})
}

// again is the offer of a deployment with another attempt.
func (r *rig) again(number string, rel *devicetest.Release, attempt int) {
	r.t.Helper()
	err := r.hub.SayFirmware(r.id, devicetest.Say{Method: message.OTAOfferFirmware, Payload: message.OTAOffer{Deployment: number, Attempt: attempt,
		Module: "default", Version: rel.Version, Digest: rel.Digest[:], ManifestURL: r.hub.FirmwareSource(number) + "manifest", Size: rel.Size}})
	if err != nil {
		r.t.Fatal(err)
	}
}

// TestNewAttempt goes on with an update under the attempt that the hub counts anew, while it waits and while it downloads.
func TestNewAttempt(t *testing.T) {
	r := newRig(t)
	var agreed atomic.Bool
	r.change = func(c *update.Config) {
		c.Consent = func(context.Context, update.Release) error {
			if !agreed.Load() {
				return failure.New(failure.Consent, "nobody is there")
			}
			return nil
		}
	}
	rel := r.build(devicetest.Firmware{Images: map[string][]byte{"default": newImage}})
	number := r.offer(devicetest.Offer{Release: rel, Serve: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		rel.ServeHTTP(&brake{ResponseWriter: w, ctx: req.Context(), piece: 2000, tick: 5 * time.Millisecond}, req, strings.TrimPrefix(req.URL.Path, "/"))
	})})
	r.alive()
	r.await(number, in("waiting"))
	r.again(number, rel, 2)
	r.await(number, func(u devicetest.Update) bool {
		return u.Last.Attempt == 2 && u.State() == "waiting" && u.Last.Class == string(failure.Consent)
	})
	agreed.Store(true)
	r.await(number, in("downloading"))
	r.again(number, rel, 3)
	r.await(number, func(u devicetest.Update) bool { return u.Last.Attempt == 3 && u.State() == "downloading" })
	r.await(number, attested)
	r.runs(newImage)
}

// TestHubThatDoesNotAnswer leaves an attestation that is not answered when the hub offers something else.
func TestHubThatDoesNotAnswer(t *testing.T) {
	r := newRig(t)
	var muted atomic.Bool
	r.change = func(c *update.Config) {
		c.Healthy = func(context.Context) error {
			if !muted.Load() {
				return errors.New("not yet")
			}
			return nil
		}
	}
	number := r.offer(devicetest.Offer{})
	r.alive()
	r.await(number, in("trial"))
	r.hub.Mute(r.id, true)
	muted.Store(true)
	if _, err := r.hub.WaitMessage(t.Context(), func(m devicetest.Message) bool {
		method, err := message.OTAMethod(m.Payload)
		return m.From == r.id && m.Topic.Kind == topic.OTAUpstream && err == nil && method == message.OTAAttest
	}); err != nil {
		t.Fatal(err)
	}
	r.hub.Mute(r.id, false)
	next := append(slices.Clone(newImage), "a little more"...)
	r.board.Bootable(next)
	r.await(r.offer(devicetest.Offer{Release: r.build(devicetest.Firmware{Version: "3.0", Sequence: 2, Images: map[string][]byte{"default": next}})}), attested)
	r.runs(next)
}

// TestDroppedConnections cuts the connection to the hub at each state of an update.
func TestDroppedConnections(t *testing.T) {
	r := newRig(t)
	number := r.offer(devicetest.Offer{})
	r.alive()
	for _, state := range []string{"accepted", "downloading", "staged", "armed", "trial", "confirmed"} {
		u := r.await(number, func(u devicetest.Update) bool { return slices.Contains(u.States, state) || u.Attested != nil })
		r.hub.Drop(r.id)
		if u.Attested != nil {
			break
		}
	}
	r.await(number, attested)
	r.idle(t.Context())
	r.runs(newImage)
}

// TestFlood sends more messages than anybody reads: the update that goes on is not harmed, and what was dropped is counted.
func TestFlood(t *testing.T) {
	r := newRig(t)
	var up atomic.Pointer[update.Updater]
	r.started = func(u *update.Updater) { up.Store(u) }
	r.change = func(c *update.Config) {
		c.Healthy = func(ctx context.Context) error {
			if up.Load().Dropped() == 0 {
				return errors.New("wait for the flood")
			}
			return nil
		}
	}
	number := r.offer(devicetest.Offer{})
	r.alive()
	r.await(number, in("trial"))
	for range 200 {
		if err := r.hub.SayFirmware(r.id, devicetest.Say{Method: message.OTARootUpdate, Payload: message.OTABytes{Bytes: []byte("rubbish")}}); err != nil {
			t.Fatal(err)
		}
	}
	r.await(number, attested)
	r.runs(newImage)
}
