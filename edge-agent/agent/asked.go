package agent

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	sdk "github.com/hawser-iot/hawser/device-sdk/upload"
	"github.com/hawser-iot/hawser/protocol/agentmsg"
	"github.com/hawser-iot/hawser/protocol/message"
)

// What bounds a bundle that the hub asks for.
const (
	maxBundle   = 4 << 20
	bundleTime  = 15 * time.Minute // to make it and to send it
	bundleTries = 8                // failures in turn
)

// about is what a hello tells beside the buffer.
func (a *Agent) about(h *agentmsg.Hello) {
	state := a.remote.state()
	h.Variant, h.Config = Variant, &state
	h.Caps = append(h.Caps, string(agentmsg.TypeConfig), capBundle)
	h.Routes = a.lan.Routes()
	if a.uploads != nil {
		s := a.uploads.Stats()
		h.Uploads = &agentmsg.Uploads{Waiting: int64(s.Waiting), Sending: s.Sending != "", Sent: s.Files, Failed: s.Failed}
	}
}

// capBundle: Diagnose with Bundle is understood.
const capBundle = "bundle"

// ask takes what the hub asks for. While four wait, further ones are dropped: the hub asks again at the next hello.
func (a *Agent) ask(m agentmsg.Message) {
	select {
	case a.asked <- m:
	default:
		a.log.Warn("the hub asks faster than it is answered")
	}
}

// answer does what the hub asks for, one after the other, until ctx ends.
func (a *Agent) answer(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-a.asked:
			switch m := m.(type) {
			case *agentmsg.Config:
				a.remote.take(m.Bytes)
			case *agentmsg.Diagnose:
				a.bundle(ctx, m.ID)
			}
		}
	}
}

// bundle makes what `hawser-agent diagnose` makes and sends it to the hub as a file of class diagnosis. The hub is told how far it is.
func (a *Agent) bundle(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(ctx, bundleTime)
	defer cancel()
	say := func(d agentmsg.Diagnosis) {
		d.ID = id
		a.up.Say(&d)
	}
	say(agentmsg.Diagnosis{State: agentmsg.BundleMaking})
	var b bytes.Buffer
	_, err := a.cfg.pack(ctx, a.Version, &b)
	if err == nil && b.Len() > maxBundle {
		err = fmt.Errorf("it has %d bytes, more than %d", b.Len(), maxBundle)
	}
	var file string
	if err == nil {
		say(agentmsg.Diagnosis{State: agentmsg.BundleUploading, Size: int64(b.Len())})
		file, err = a.sendBundle(ctx, id, b.Bytes())
	}
	if err != nil {
		a.log.Warn("the bundle that the hub has asked for", "err", err)
		say(agentmsg.Diagnosis{State: agentmsg.BundleFailed, Reason: clip(err.Error())})
		return
	}
	say(agentmsg.Diagnosis{State: agentmsg.BundleDone, Size: int64(b.Len()), File: file})
}

// sendBundle returns the id of the file at the hub.
func (a *Agent) sendBundle(ctx context.Context, id string, b []byte) (file string, err error) {
	hub, err := a.files()
	if err != nil {
		return "", err
	}
	client, err := a.cfg.uploadClient()
	if err != nil {
		return "", err
	}
	defer client.CloseIdleConnections()
	f := &sdk.File{Name: "diagnosis-" + word(id) + ".tar.gz", Class: message.ClassDiagnosis, ContentType: "application/gzip",
		Size: int64(len(b)), SHA256: sha256.Sum256(b), Data: bytes.NewReader(b)}
	up := sdk.New(sdk.Config{Hub: hub, Client: client, Tries: bundleTries}, a.log)
	return up.Send(ctx, f)
}

// word is an id without what a file's name must not have.
func word(id string) string {
	b := []byte(id)
	for i, c := range b {
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			b[i] = '_'
		}
	}
	return string(b)
}
