package upload

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/hawser-iot/hawser/cloud/blob"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/message"
)

// MaxRequest bounds a request of a session, bytes.
const MaxRequest = 16 << 10

// urlLife is how long URLs of parts and of the relay may be used.
const urlLife = time.Hour

// Call does what a device asks for an upload session (message.UploadRequest, JSON or CBOR) and returns the answer in the request's format,
// refusals too.
func (u *Uploads) Call(ctx context.Context, dev *registry.Device, body []byte) []byte {
	format := codec.Detect(body)
	var req message.UploadRequest
	reply := &message.UploadReply{}
	err := codec.UnmarshalLimits(body, &req, codec.Limits{Size: MaxRequest, Depth: 6, Count: 400})
	if err != nil {
		err = uplink.Refuse(message.CodeBad, "the request cannot be read")
	} else {
		reply, err = u.serve(ctx, dev, &req)
	}
	if err != nil {
		reply = u.excuse(dev, err)
	}
	reply.RequestID, reply.Method = req.RequestID, req.Method
	b, err := codec.Marshal(format, reply)
	if err != nil { // there is no such value in it
		u.Log.Error("answer to an upload not written", "device", dev.Identity, "err", err)
	}
	return b
}

// excuse is the answer to a request that failed.
func (u *Uploads) excuse(dev *registry.Device, err error) *message.UploadReply {
	var r *uplink.Refusal
	if errors.As(err, &r) {
		return &message.UploadReply{RetCode: r.Code, Message: message.Plain(r.Reason)}
	}
	u.Log.Warn("request for an upload failed", "device", dev.Identity, "err", err)
	return &message.UploadReply{RetCode: message.CodeInternal, Message: message.CodeInternal.Text()}
}

func (u *Uploads) serve(ctx context.Context, dev *registry.Device, r *message.UploadRequest) (*message.UploadReply, error) {
	if r.Method == message.UploadInit {
		s, err := u.begin(ctx, dev, r)
		if err != nil {
			return nil, err
		}
		return u.tell(ctx, s, r.Parts)
	}
	s, err := u.mine(ctx, dev.ID, r.UploadID)
	if err != nil {
		return nil, err
	}
	switch r.Method {
	case message.UploadStatus, message.UploadParts:
		if err := u.touch(ctx, s); err != nil {
			return nil, err
		}
		return u.tell(ctx, s, r.Parts)
	case message.UploadComplete:
		return u.complete(ctx, s)
	case message.UploadAbort:
		if s.done {
			return nil, u.refuse(message.CodeBad, "the file has arrived")
		}
		return &message.UploadReply{UploadID: message.ID(s.ID).String()}, u.abandon(ctx, s)
	}
	return nil, u.refuse(message.CodeBad, "no such Method")
}

// tell is the state of a session, with URLs for the parts that are asked for.
func (u *Uploads) tell(ctx context.Context, s *session, parts []message.UploadPart) (*message.UploadReply, error) {
	if len(parts) > message.MaxUploadParts {
		return nil, u.refuse(message.CodeRange, fmt.Sprintf("URLs for at most %d parts are given at once", message.MaxUploadParts))
	}
	st, err := u.stocked(ctx, s)
	if err != nil {
		return nil, err
	}
	a := u.state(s, st)
	if s.done {
		return a, nil
	}
	if err := u.progressed(ctx, s, st.covered(s)); err != nil {
		return nil, err
	}
	for _, p := range parts {
		where, err := u.partURL(ctx, s, p)
		if err != nil {
			return nil, err
		}
		a.Parts = append(a.Parts, where)
	}
	return a, nil
}

func (u *Uploads) state(s *session, st *stock) *message.UploadReply {
	covered := st.covered(s)
	a := &message.UploadReply{UploadID: message.ID(s.ID).String(), State: message.UploadOpen, PartSize: s.partSize,
		Stored: runs(s, covered), Offset: offset(covered)}
	if s.done {
		a.State, a.FileID = message.UploadDone, a.UploadID
		return a
	}
	a.Until = s.Expires.UnixMilli()
	a.RelayURL = u.Links.Base() + "/upload/relay/" + u.seal(ticket{kind: relayTicket, file: s.ID, until: u.until()})
	return a
}

func (u *Uploads) until() uint32 { return uint32(u.now().Add(urlLife).Unix()) }

// partURL is where one part may be PUT: at the object store, or at the hub itself.
func (u *Uploads) partURL(ctx context.Context, s *session, p message.UploadPart) (message.UploadPart, error) {
	sum, err := hex.DecodeString(p.SHA256)
	if err != nil || len(sum) != 32 || p.No < 1 || p.No > s.parts() {
		return p, u.refuse(message.CodeBad, fmt.Sprintf("a part needs a No of 1 to %d and a SHA256", s.parts()))
	}
	out := message.UploadPart{No: p.No}
	if u.multi == nil {
		out.URL = u.Links.Base() + "/upload/part/" + u.seal(ticket{kind: partTicket, file: s.ID, part: uint32(p.No), until: u.until(), sha256: [32]byte(sum)})
		return out, nil
	}
	if err := u.openMultipart(ctx, s); err != nil {
		return p, err
	}
	at := s.part(p.No)
	url, header, err := u.multi.PartURL(ctx, s.Blob(), s.multipart, blob.Part{No: p.No, Size: at.to - at.from, SHA256: [32]byte(sum)}, urlLife)
	if err != nil {
		return p, fmt.Errorf("upload: part %d of file %d: %w", p.No, s.ID, err)
	}
	out.URL, out.Header = url, map[string]string{}
	for name := range header {
		out.Header[name] = header.Get(name)
	}
	return out, nil
}

// openMultipart begins the file at the object store, when its first part is asked for.
func (u *Uploads) openMultipart(ctx context.Context, s *session) error {
	if s.multipart != "" {
		return nil
	}
	id, err := u.multi.Begin(ctx, s.Blob())
	if err != nil {
		return fmt.Errorf("upload: begin file %d: %w", s.ID, err)
	}
	err = u.Store.Do(ctx, &store.Unit{Device: s.Device, Ops: []store.Op{beginMultipart.Guard(id, s.ID)}})
	if err == nil {
		s.multipart = id
		return nil
	}
	if err := u.multi.Abort(context.WithoutCancel(ctx), s.Blob(), id); err != nil {
		u.Log.Debug("an attempt that nobody uses is left to the object store", "file", s.ID, "err", err)
	}
	if !errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("upload: note attempt: %w", err)
	}
	other, err := u.readSession(ctx, `upload_session.file = ?`, s.ID) // somebody else was quicker
	if errors.Is(err, ErrNotFound) {
		return u.errGone()
	}
	if err != nil {
		return err
	}
	s.multipart = other.multipart
	return nil
}
