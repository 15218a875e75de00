package upload

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"strconv"
	"time"

	"github.com/hawser-iot/hawser/cloud/blob"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/shortlink"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// Body is what a device sends to the URL of a Grant.
type Body struct {
	Token         string // of the URL
	Authorization string
	MD5           string // Content-MD5, hex or base64; "" when the device sends none
	Size          int64  // Content-Length; -1 when the device does not say
	Data          io.Reader
}

// Receive takes a file in. Errors are *uplink.Refusal, the store's or the blob store's, or the reader's.
func (u *Uploads) Receive(ctx context.Context, b Body) error {
	f, err := u.admit(ctx, &b)
	if err != nil {
		return err
	}
	if !f.Received.IsZero() { // sent again: the answer was lost
		_, err := io.Copy(io.Discard, io.LimitReader(b.Data, f.Size))
		return err
	}
	want, _ := hex.DecodeString(f.MD5) // Grant has checked it
	_, err = u.Blobs.Put(ctx, f.Blob(), &verified{r: b.Data, sum: md5.New(), want: want}, f.Size)
	switch {
	case errors.Is(err, errChecksum):
		return u.refuse(message.CodeBad, "the MD5 of the body is not that of the file")
	case errors.Is(err, blob.ErrSize), errors.Is(err, io.ErrUnexpectedEOF):
		return u.refuse(message.CodeBad, fmt.Sprintf("the body must have %d bytes", f.Size))
	case err != nil:
		u.received.WithLabelValues("failed").Inc()
		return fmt.Errorf("upload: store file %d: %w", f.ID, err)
	}
	return u.arrived(ctx, f)
}

// admit finds the permission that a request uses.
func (u *Uploads) admit(ctx context.Context, b *Body) (*File, error) {
	link, err := u.Links.Open(b.Token)
	switch {
	case errors.Is(err, shortlink.ErrExpired):
		return nil, u.refuse(message.CodeTokenExpired, "the URL has expired: ask for another one")
	case err != nil || link.Kind != shortlink.Upload:
		return nil, u.refuse(message.CodeBadToken, "the URL is not one for an upload")
	case !u.Links.Matches(b.Token, b.Authorization):
		return nil, u.refuse(message.CodeSignature, "Authorization is not the one that belongs to the URL")
	}
	f, err := u.read(ctx, `id = ? AND state <> 2`, link.ID)
	if errors.Is(err, ErrNotFound) {
		return nil, u.refuse(message.CodeBadToken, "the file was deleted")
	}
	if err != nil {
		return nil, err
	}
	dev, err := u.Registry.DeviceByID(ctx, f.Device)
	switch {
	case errors.Is(err, registry.ErrDeviceNotFound):
		return nil, u.refuse(message.CodeNoSuchIdentity, "")
	case err != nil:
		return nil, err
	case dev.State == registry.Disabled:
		return nil, u.refuse(message.CodeDisabled, "")
	case b.Size >= 0 && b.Size != f.Size:
		return nil, u.refuse(message.CodeBad, fmt.Sprintf("the body must have %d bytes", f.Size))
	case b.MD5 != "" && !sameMD5(b.MD5, f.MD5):
		return nil, u.refuse(message.CodeBad, "Content-MD5 is not that of the file")
	}
	return f, nil
}

// sameMD5 compares a Content-MD5, in hex as stock devices send it or in base64 as RFC 1864 has it, with hex.
func sameMD5(header, want string) bool {
	sum, err := hex.DecodeString(header)
	if err != nil || len(sum) != md5.Size {
		if sum, err = base64.StdEncoding.DecodeString(header); err != nil {
			return false
		}
	}
	return hex.EncodeToString(sum) == want
}

var errChecksum = errors.New("upload: another checksum")

// verified reads a file and ends with errChecksum instead of the end when its bytes are not the right ones.
type verified struct {
	r    io.Reader
	sum  hash.Hash
	want []byte
}

// Read is io.Reader's.
func (v *verified) Read(b []byte) (int, error) {
	n, err := v.r.Read(b)
	v.sum.Write(b[:n])
	if errors.Is(err, io.EOF) && !bytes.Equal(v.sum.Sum(nil), v.want) {
		return n, errChecksum
	}
	return n, err
}

var completeFile = store.NewStmt(`UPDATE device_file SET state = 1, received_at = ?, expires_at = ? WHERE id = ? AND state = 0`)

// arrived lists a file whose bytes are stored; the rules see it in the same commit.
func (u *Uploads) arrived(ctx context.Context, f *File) error {
	dev, err := u.Registry.DeviceByID(ctx, f.Device)
	if err != nil {
		return err
	}
	l, err := u.limits(ctx, f.Product)
	if err != nil {
		return err
	}
	f.Received, f.Expires = u.now(), time.Time{}
	if l.Keep > 0 {
		f.Expires = f.Received.Add(l.Keep)
	}
	err = u.Store.Do(ctx, &store.Unit{Device: f.Device, Out: u.outputs(dev, f),
		Ops: []store.Op{completeFile.Guard(f.Received.UnixMilli(), millis(f.Expires), f.ID)}})
	if errors.Is(err, store.ErrConflict) {
		return u.overtaken(ctx, f)
	}
	if err != nil {
		return fmt.Errorf("upload: list file %d: %w", f.ID, err)
	}
	u.received.WithLabelValues("received").Inc()
	u.bytes.Add(float64(f.Size))
	u.Log.Info("file received", "product", f.Product, "device", dev.Identity.SN, "file", f.ID, "bytes", f.Size)
	return nil
}

// overtaken is a file that was sent twice at once, which is well, or deleted meanwhile, which takes its bytes with it.
func (u *Uploads) overtaken(ctx context.Context, f *File) error {
	_, err := u.read(ctx, `id = ? AND state = 1`, f.ID)
	if !errors.Is(err, ErrNotFound) {
		return err
	}
	if err := u.Blobs.Delete(ctx, f.Blob()); err != nil {
		return fmt.Errorf("upload: remove file %d: %w", f.ID, err)
	}
	return u.refuse(message.CodeBadToken, "the file was deleted")
}

// outputs are what rules make of the file that has arrived, on upload/document.
func (u *Uploads) outputs(dev *registry.Device, f *File) [][]byte {
	if u.Rules == nil {
		return nil
	}
	m := &uplink.Message{
		ID: u.IDs.Next(), Device: dev.Identity, DeviceID: dev.ID, At: f.Received, Payload: f.document(),
		Topic: topic.Topic{Kind: topic.UploadDocument, Device: dev.Identity}, Name: topic.System(dev.Identity, topic.UploadDocument),
	}
	return u.Rules.Match(m, m.Name, m.Root, nil)
}

// document is what rules see of a file.
func (f *File) document() []byte {
	b := append([]byte(`{"FileID":"`), strconv.FormatInt(f.ID, 10)...)
	b = codec.AppendString(append(b, `","FileName":`...), f.Name)
	b = strconv.AppendInt(append(b, `,"FileSize":`...), f.Size, 10)
	if f.MD5 != "" {
		b = codec.AppendString(append(b, `,"MD5":`...), f.MD5)
	}
	if f.SHA256 != "" {
		b = codec.AppendString(append(b, `,"SHA256":`...), f.SHA256)
	}
	if f.Class != "" {
		b = codec.AppendString(append(b, `,"Class":`...), f.Class)
	}
	b = codec.AppendString(append(b, `,"Content-Type":`...), f.ContentType)
	b = strconv.AppendInt(append(b, `,"Time":`...), f.Received.UnixMilli(), 10)
	return append(b, '}')
}

// millis is a time as the store has it.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}
