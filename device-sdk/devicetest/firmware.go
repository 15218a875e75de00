package devicetest

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/firmware/attest"
	"github.com/hawser-iot/hawser/firmware/signing"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// Offer is firmware that the hub brings to a device. Its functions, unless they are nil, make the hub misbehave.
type Offer struct {
	Release   *Release
	Authority *Authority
	// Roots are the root documents that come before an assignment, if the device's own is older than the authority's.
	Roots [][]byte
	// Module that is offered; "default" when empty.
	Module string
	// Change changes the offer before it is sent.
	Change func(o *message.OTAOffer)
	// Assign changes an assignment before it is signed.
	Assign func(a *signing.Assignment)
	// Consent has devices ask their owners first.
	Consent bool
	// Answer replaces the answer to a question for an assignment: methods and payloads.
	Answer func(q message.OTAQuestion) []Say
	// Serve replaces the download server for what is under the source.
	Serve http.Handler
	// Mirrors are put before the hub's own source.
	Mirrors []string
}

// Say is one message of the hub's on ota/downstream.
type Say struct {
	Method  string
	Payload any
}

// Update is what the hub knows of an offer.
type Update struct {
	Deployment string
	Device     ident.Device
	// States are those that the device has reported, each once in a row; Last is the last report.
	States []string
	Last   message.OTAProgress
	// Attested is the device's last boot report, nil without one.
	Attested *attest.Report
	// Sent is how many bytes of files were served.
	Sent int64
}

// State is what was reported last.
func (u Update) State() string { return u.Last.State }

// deployment is the hub's own record of an Update.
type deployment struct {
	Update
	offer Offer
	stock bool
	md5   string // of a stock offer
}

// OfferFirmware offers a release to a device, now if it listens and at each question for firmware, and goes on with the handshake. It
// returns the number of the deployment.
func (h *Hub) OfferFirmware(d ident.Device, o Offer) (string, error) {
	if o.Module == "" {
		o.Module = "default"
	}
	if err := h.serveFirmware(); err != nil {
		return "", err
	}
	u := &deployment{offer: o}
	h.addUpdate(d, u)
	return u.Deployment, h.say(d, h.offerOf(u))
}

// OfferStockFirmware offers an image as a stock device is offered it: a URL and an MD5.
func (h *Hub) OfferStockFirmware(d ident.Device, version string, image []byte) (string, error) {
	if err := h.serveFirmware(); err != nil {
		return "", err
	}
	sum := md5.Sum(image)
	u := &deployment{stock: true, md5: hex.EncodeToString(sum[:]), offer: Offer{Module: "default", Release: &Release{Version: version, Size: int64(len(image)), Files: map[string][]byte{"image": image}}}}
	h.addUpdate(d, u)
	return u.Deployment, h.say(d, h.offerOf(u))
}

func (h *Hub) addUpdate(d ident.Device, u *deployment) {
	h.mu.Lock()
	defer h.mu.Unlock()
	u.Device, u.Deployment = d, strconv.Itoa(len(h.updates)+1)
	h.updates = append(h.updates, u)
}

// CancelFirmware calls an offer off.
func (h *Hub) CancelFirmware(deployment string) error {
	u := h.deployment(deployment)
	if u == nil {
		return ErrUnknown
	}
	return h.say(u.Device, Say{message.OTACancelUpdate, message.OTACancel{Module: u.offer.Module, Version: u.offer.Release.Version, Deployment: deployment}})
}

// FirmwareUpdate is what the hub knows of a deployment.
func (h *Hub) FirmwareUpdate(deployment string) Update {
	h.mu.Lock()
	defer h.mu.Unlock()
	u := h.updateLocked(deployment)
	if u == nil {
		return Update{}
	}
	out := u.Update
	out.States = slices.Clone(out.States)
	return out
}

// WaitUpdate waits until a deployment is as wanted.
func (h *Hub) WaitUpdate(ctx context.Context, deployment string, want func(Update) bool) (Update, error) {
	err := h.wait(ctx, func() bool { u := h.updateLocked(deployment); return u != nil && want(u.Update) })
	return h.FirmwareUpdate(deployment), err
}

// FirmwareSource is the URL under which the files of a deployment are.
func (h *Hub) FirmwareSource(deployment string) string {
	return "http://" + h.files.Addr().String() + "/f/" + deployment + "/"
}

func (h *Hub) deployment(number string) *deployment {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.updateLocked(number)
}

func (h *Hub) updateLocked(number string) *deployment {
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 || n > len(h.updates) {
		return nil
	}
	return h.updates[n-1]
}

// serveFirmware opens the download server once.
func (h *Hub) serveFirmware() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.files != nil {
		return nil
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	h.files = ln
	go func() { _ = http.Serve(ln, http.HandlerFunc(h.download)) }() // it ends when the listener is closed
	return nil
}

// download serves a file of a deployment, with ranges and an ETag.
func (h *Hub) download(w http.ResponseWriter, r *http.Request) {
	number, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/f/"), "/")
	u := h.deployment(number)
	if u == nil {
		http.NotFound(w, r)
		return
	}
	counted := &counter{ResponseWriter: w}
	defer func() {
		h.mu.Lock()
		u.Sent += counted.n
		h.changedLocked()
		h.mu.Unlock()
	}()
	if u.offer.Serve != nil {
		r.URL.Path = "/" + path
		u.offer.Serve.ServeHTTP(counted, r)
		return
	}
	u.offer.Release.ServeHTTP(counted, r, path)
}

// ServeHTTP serves one of the release's files.
func (r *Release) ServeHTTP(w http.ResponseWriter, req *http.Request, path string) {
	b, ok := r.Files[path]
	if !ok {
		http.NotFound(w, req)
		return
	}
	sum := md5.Sum(b)
	w.Header().Set("Etag", `"`+hex.EncodeToString(sum[:])+`"`)
	http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(b))
}

type counter struct {
	http.ResponseWriter
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.ResponseWriter.Write(b)
	c.n += int64(n)
	return n, err
}

// Flush lets handlers send what they have.
func (c *counter) Flush() { _ = http.NewResponseController(c.ResponseWriter).Flush() }

// offerOf is the message that offers u.
func (h *Hub) offerOf(u *deployment) Say {
	r := u.offer.Release
	if u.stock {
		return Say{message.OTAUpdateFirmware, message.OTAStockOffer{Module: u.offer.Module, Version: r.Version,
			URL: h.FirmwareSource(u.Deployment) + "image", MD5: u.md5, Size: r.Size}}
	}
	o := message.OTAOffer{Deployment: u.Deployment, Attempt: 1, Module: u.offer.Module, Version: r.Version, Digest: r.Digest[:],
		ManifestURL: h.FirmwareSource(u.Deployment) + "manifest", Size: r.Size}
	if u.offer.Change != nil {
		u.offer.Change(&o)
	}
	return Say{message.OTAOfferFirmware, o}
}

// SayFirmware sends a message on ota/downstream of a device, whatever it holds.
func (h *Hub) SayFirmware(d ident.Device, s Say) error { return h.say(d, s) }

func (h *Hub) say(d ident.Device, list ...Say) error {
	for _, s := range list {
		b, err := message.EncodeOTA(codec.JSON, s.Method, s.Payload)
		if err != nil {
			return err
		}
		h.post(d, topic.System(d, topic.OTADownstream), b)
	}
	return nil
}

// firmware answers a message on ota/upstream.
func (h *Hub) firmware(m Message) {
	method, err := message.OTAMethod(m.Payload)
	if err == nil {
		err = h.firmwareMethod(m, method)
	}
	if err != nil {
		h.log.Error("a message about firmware", "method", method, "err", err)
	}
}

func (h *Hub) firmwareMethod(m Message, method string) error {
	switch method {
	case message.OTARequestFirmware:
		v, err := message.DecodeOTA[message.OTAVersion](m.Payload)
		if err != nil {
			return err
		}
		return h.offerAgain(m.From, v)
	case message.OTARequestAssignment:
		q, err := message.DecodeOTA[message.OTAQuestion](m.Payload)
		if err != nil {
			return err
		}
		return h.assign(m.From, q)
	case message.OTAReportProgress:
		p, err := message.DecodeOTA[message.OTAProgress](m.Payload)
		if err == nil && p.Deployment == "" {
			p.Deployment = h.openStock(m.From)
		}
		h.progress(p)
		return err
	case message.OTAReportSuccess:
		h.progress(message.OTAProgress{Deployment: h.openStock(m.From), State: "succeeded", Step: 1 << 62})
	case message.OTAReportFail:
		f, err := message.DecodeOTA[message.OTAStockFail](m.Payload)
		h.progress(message.OTAProgress{Deployment: h.openStock(m.From), State: "failed", Class: strconv.Itoa(f.ErrCode), Step: 1 << 62})
		return err
	case message.OTAAttest:
		a, err := message.DecodeOTA[message.OTABytes](m.Payload)
		if err != nil {
			return err
		}
		return h.attested(m.From, a)
	}
	return nil
}

// settledStates are those after which nothing is offered again.
var settledStates = []string{"rejected", "failed", "rolled_back", "confirmed", "succeeded"}

// offerAgain offers what is open for a device that asks.
func (h *Hub) offerAgain(d ident.Device, v message.OTAVersion) error {
	h.mu.Lock()
	var open *deployment
	for _, u := range h.updates {
		if u.Device == d && u.offer.Module == v.Module && !slices.Contains(settledStates, u.State()) {
			open = u
		}
	}
	h.mu.Unlock()
	if open == nil {
		return nil
	}
	return h.say(d, h.offerOf(open))
}

func (h *Hub) openStock(d ident.Device) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, u := range slices.Backward(h.updates) {
		if u.stock && u.Device == d {
			return u.Deployment
		}
	}
	return ""
}

// progress notes a report that is newer than the last one.
func (h *Hub) progress(p message.OTAProgress) {
	h.mu.Lock()
	defer h.mu.Unlock()
	u := h.updateLocked(p.Deployment)
	if u == nil || !u.stock && (p.Attempt < u.Last.Attempt || p.Attempt == u.Last.Attempt && p.Step <= u.Last.Step) {
		return
	}
	if u.Last = p; len(u.States) == 0 || u.States[len(u.States)-1] != p.State {
		u.States = append(u.States, p.State)
	}
	h.changedLocked()
}

// assign answers a question.
func (h *Hub) assign(d ident.Device, q message.OTAQuestion) error {
	u := h.deployment(q.Deployment)
	if u == nil || u.Device != d {
		return h.say(d, Say{message.OTAAssignmentRefused, message.OTARefused{Deployment: q.Deployment, Reason: "not yours"}})
	}
	if u.offer.Answer != nil {
		return h.say(d, u.offer.Answer(q)...)
	}
	for _, b := range u.offer.Roots {
		if err := h.say(d, Say{message.OTARootUpdate, message.OTABytes{Bytes: b}}); err != nil {
			return err
		}
	}
	a := h.Assignment(q)
	if u.offer.Assign != nil {
		u.offer.Assign(a)
	}
	b, err := a.Sign(u.offer.Authority.Director)
	if err != nil {
		return err
	}
	return h.say(d, Say{message.OTAAssignment, message.OTABytes{Deployment: q.Deployment, Bytes: b, Consent: u.offer.Consent}})
}

// Assignment is the answer to a question, to be signed.
func (h *Hub) Assignment(q message.OTAQuestion) *signing.Assignment {
	u := h.deployment(q.Deployment)
	h.mu.Lock()
	h.assigned++
	n := h.assigned
	h.mu.Unlock()
	now := time.Now().Truncate(time.Second)
	return &signing.Assignment{
		Device: u.Device.ClientID(), Manifest: u.offer.Release.Digest, Rollout: "devicetest", Execution: q.Deployment, Nonce: q.Nonce,
		Counter: n, Issued: now, NotAfter: now.Add(time.Hour), Sources: append(slices.Clone(u.offer.Mirrors), h.FirmwareSource(q.Deployment)),
	}
}

var errAttestation = errors.New("devicetest: attestation of an unknown deployment")

func (h *Hub) attested(d ident.Device, a message.OTABytes) error {
	n, err := strconv.ParseInt(a.Deployment, 10, 64)
	if err != nil {
		return err
	}
	r, err := attest.Open(a.Bytes, []byte(h.Secret(d).Reveal()), n)
	if err != nil {
		return err
	}
	h.mu.Lock()
	u := h.updateLocked(a.Deployment)
	if u != nil {
		u.Attested = &r
		h.changedLocked()
	}
	h.mu.Unlock()
	if u == nil {
		return errAttestation
	}
	return h.say(d, Say{message.OTAAttested, message.OTADeployment{Deployment: a.Deployment}})
}

func sortedNames[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }

// ReplaceStockFirmware serves another image for an offer than was offered.
func (h *Hub) ReplaceStockFirmware(number string, image []byte) {
	if u := h.deployment(number); u != nil {
		u.offer.Release.Files["image"] = image
	}
}
