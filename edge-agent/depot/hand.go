package depot

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/message"
)

// errBytes is an image on the disk that is no longer what was verified.
var errBytes = errors.New("depot: what is on the disk is not what was verified")

// offer is update_firmware as a stock device takes it. File is the image's path, for drivers.
type offer struct {
	Module  string `json:"Module"`
	Version string `json:"Version"`
	URL     string `json:"URL"`
	MD5     string `json:"MD5"`
	Size    int64  `json:"Size"`
	File    string `json:"File,omitempty"`
}

// errEnded is a handover that the end of the agent has interrupted: it goes on at the next start.
var errEnded = errors.New("depot: the handover is interrupted")

// hand gives the sub-device what is armed, an image after the other, and waits for its word. took tells that it runs all of them. When it does not take one, it is
// handed what it had before of those that it took, as far as that is at hand: no release runs in part if the gateway can help it. An error is one of the gateway's own.
func (w *ward) hand(ctx context.Context) (took bool, err error) {
	for {
		st := w.shelf.now()
		var ok bool
		switch {
		case st.Failed && st.Taken == 0:
			return false, nil
		case st.Failed:
			ok, err = w.takeBack(ctx, &st, st.Lots[st.Taken-1])
		case st.Taken == len(st.Lots):
			return true, nil
		default:
			ok, err = w.handOne(ctx, other(st.Slot), st.Lots[st.Taken])
		}
		if err == nil {
			err = w.shelf.step(ok)
		}
		if err != nil {
			return false, err
		}
	}
}

// takeBack hands over what the sub-device ran before of a module.
func (w *ward) takeBack(ctx context.Context, st *shelfState, taken lot) (ok bool, err error) {
	old, ok := st.had(taken.Module)
	if ok {
		ok, err = w.handOne(ctx, st.Slot, old)
	}
	if !ok && err == nil {
		w.log.Error("the sub-device keeps a part of a release that it has not taken whole", "module", taken.Module, "version", taken.Version)
	}
	return ok, err
}

// handOne hands over one image.
func (w *ward) handOne(ctx context.Context, slot string, lot lot) (took bool, err error) {
	path := w.depot.room.path(w.device.ClientID(), slot, lot.Module)
	sum, err := checked(path, lot)
	if errors.Is(err, errBytes) {
		w.log.Error("firmware is not handed over", "err", err)
		return false, nil
	}
	if err != nil {
		return false, err
	}
	token, url := w.depot.web.publish(path, lot)
	defer w.depot.web.withdraw(token)
	o := offer{Module: lot.Module, Version: lot.Version, URL: url, MD5: sum, Size: lot.Size}
	if w.model.Files {
		o.File = path
	}
	w.log.Info("firmware is handed over", "module", lot.Module, "version", lot.Version, "bytes", lot.Size)
	payload, err := message.EncodeOTA(codec.JSON, message.OTAUpdateFirmware, o)
	if err != nil {
		return false, err
	}
	return w.await(ctx, payload, lot)
}

// await offers until the sub-device has said what became of it, or its time has passed. What it says of other modules is of no account.
func (w *ward) await(ctx context.Context, payload []byte, lot lot) (took bool, err error) {
	for len(w.said) > 0 {
		<-w.said // of before
	}
	late := time.NewTimer(w.depot.cfg.Handover)
	defer late.Stop()
	again := time.NewTicker(min(w.depot.cfg.Poll, 5*time.Second))
	defer again.Stop()
	in := 0 // the visit in which it was offered
	for {
		in = w.present(payload, in)
		select {
		case s := <-w.said:
			switch {
			case s.module != lot.Module && s.method != message.OTAReportFail:
			case s.version == lot.Version && s.method != message.OTAReportProgress:
				w.log.Info("the sub-device runs what it was handed", "module", lot.Module, "version", lot.Version)
				return true, nil
			case s.method == message.OTAReportFail || s.method == message.OTAReportSuccess:
				w.log.Warn("the sub-device does not run what it was handed", "module", lot.Module, "version", lot.Version, "says", s.method, "code", s.code, "runs", s.version)
				return false, nil
			}
		case <-again.C:
		case <-late.C:
			w.log.Warn("the sub-device has not taken what it was handed", "module", lot.Module, "version", lot.Version, "after", w.depot.cfg.Handover)
			return false, nil
		case <-ctx.Done():
			return false, errEnded
		}
	}
}

// present offers once in each connection of the sub-device: a stock device would begin anew with a second offer. It returns the last one in which that was done.
func (w *ward) present(payload []byte, in int) int {
	w.mu.Lock()
	there, visit := w.there, w.visits
	w.mu.Unlock()
	if !there || visit == in {
		return in
	}
	if err := w.depot.down.Deliver(w.device, w.downstream, payload, 1); err != nil {
		w.log.Debug("firmware is not offered yet", "err", err)
		return in
	}
	return visit
}

// checked is the MD5 of the file, if it is the one that was verified.
func checked(path string, lot lot) (string, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("%w: %w", errBytes, err)
	}
	if err != nil {
		return "", err
	}
	defer f.Close() // it was only read
	short, long := md5.New(), sha256.New()
	n, err := io.CopyBuffer(io.MultiWriter(short, long), struct{ io.Reader }{f}, make([]byte, 32<<10))
	if err != nil {
		return "", err
	}
	if n != lot.Size || !bytes.Equal(long.Sum(nil), lot.SHA256) {
		return "", fmt.Errorf("%w: %d bytes with SHA-256 %x, want %d with %x", errBytes, n, long.Sum(nil), lot.Size, lot.SHA256)
	}
	return hex.EncodeToString(short.Sum(nil)), nil
}
