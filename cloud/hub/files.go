package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/hawser-iot/hawser/cloud/downlink"
	"github.com/hawser-iot/hawser/cloud/ingress"
	"github.com/hawser-iot/hawser/cloud/ota"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/upload"
	"github.com/hawser-iot/hawser/protocol/ident"
)

// uploadFace is upload in the words of the devices' HTTP door.
type uploadFace struct{ uploads *upload.Uploads }

var _ ingress.Uploads = uploadFace{}

// Grant implements ingress.Uploads.
func (f uploadFace) Grant(ctx context.Context, dev *registry.Device, n ingress.NewUpload) (url, authorization string, err error) {
	g, err := f.uploads.Grant(ctx, dev, upload.NewFile(n))
	return g.URL, g.Authorization, err
}

// Receive implements ingress.Uploads.
func (f uploadFace) Receive(ctx context.Context, b ingress.UploadBody) error {
	return f.uploads.Receive(ctx, upload.Body(b))
}

// sessionFace is uploads in parts in the words of the devices' HTTP door.
type sessionFace struct{ uploads *upload.Uploads }

var _ ingress.Sessions = sessionFace{}

// Call implements ingress.Sessions.
func (f sessionFace) Call(ctx context.Context, dev *registry.Device, body []byte) []byte {
	return f.uploads.Call(ctx, dev, body)
}

// PutPart implements ingress.Sessions.
func (f sessionFace) PutPart(ctx context.Context, word string, size int64, data io.Reader) error {
	return sessionError(f.uploads.PutPart(ctx, word, size, data))
}

// Offset implements ingress.Sessions.
func (f sessionFace) Offset(ctx context.Context, word string) (at, size int64, err error) {
	at, size, err = f.uploads.Offset(ctx, word)
	return at, size, sessionError(err)
}

// Patch implements ingress.Sessions.
func (f sessionFace) Patch(ctx context.Context, word string, offset int64, sum [32]byte, data io.Reader) (int64, error) {
	next, err := f.uploads.Patch(ctx, word, upload.Patch{Offset: offset, SHA256: sum, Data: data})
	return next, sessionError(err)
}

// Drop implements ingress.Sessions.
func (f sessionFace) Drop(ctx context.Context, word string) error {
	return sessionError(f.uploads.Drop(ctx, word))
}

// sessionError turns upload's errors into the door's.
func sessionError(err error) error {
	for _, e := range []struct{ from, to error }{{upload.ErrLink, ingress.ErrSessionLink}, {upload.ErrNotFound, ingress.ErrSessionGone},
		{upload.ErrChecksum, ingress.ErrSessionChecksum}, {upload.ErrOffset, ingress.ErrSessionOffset}, {upload.ErrSize, ingress.ErrSessionSize}} {
		if errors.Is(err, e.from) {
			return fmt.Errorf("%w: %w", e.to, err)
		}
	}
	return err
}

// downloadFace is what may be downloaded, in the words of the devices' HTTP door.
type downloadFace struct {
	ota     *ota.OTA
	uploads *upload.Uploads
}

var _ ingress.Downloads = downloadFace{}

// Find implements ingress.Downloads.
func (f downloadFace) Find(ctx context.Context, token, path string, encrypted bool) (ingress.Download, error) {
	if path == "" {
		file, err := f.uploads.Linked(ctx, token)
		if err == nil {
			return ingress.Download{Blob: file.Blob(), Size: file.Size, ETag: `"` + strconv.FormatInt(file.ID, 10) + `"`, Save: true}, nil
		}
		if !errors.Is(err, upload.ErrNotFound) {
			return ingress.Download{}, err
		}
	}
	d, err := f.ota.Find(ctx, token, path, encrypted)
	if errors.Is(err, ota.ErrFirmwareNotFound) {
		return ingress.Download{}, fmt.Errorf("%w: %w", ingress.ErrNoDownload, err)
	}
	if err != nil {
		return ingress.Download{}, err
	}
	return ingress.Download{Blob: d.Blob, Data: d.Data, Size: d.Size, ETag: `"` + d.ETag + `"`}, nil
}

// otaSender is the way to a device as ota sees it.
type otaSender struct{ sender }

var _ ota.Sender = otaSender{}

// Send implements ota.Sender.
func (s otaSender) Send(ctx context.Context, dev ident.Device, topicName string, payload []byte, queue bool) error {
	_, err := s.sender.Send(ctx, downlink.Message{Device: dev, Topic: topicName, Payload: payload, QoS: 1, Queue: queue})
	if err != nil {
		return fmt.Errorf("send to %s: %w", dev, err)
	}
	return nil
}

// Subscribed implements ota.Sender.
func (s otaSender) Subscribed(dev ident.Device, topicName string) bool {
	t, ok := s.down.Directory.Find(dev)
	if !ok {
		return false
	}
	_, ok = t.Subscribed(topicName)
	return ok
}

// Verifies implements ota.Sender.
func (s otaSender) Verifies(ctx context.Context, dev ident.Device) (bool, error) {
	return s.down.Verifies(ctx, dev)
}
