package upload

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/hawser-iot/hawser/protocol/message"
)

// statusChecksum is tus's for other bytes than the checksum says.
const statusChecksum = 460

// relay sends the file from where the hub has it up to, patch by patch (tus 1.0).
func (u *Uploader) relay(ctx context.Context, f *File, s message.UploadReply) error {
	at, url, failed := s.Offset, s.RelayURL, 0
	for at < f.Size {
		u.tell(f, at)
		if err := f.changed(); err != nil {
			return err
		}
		next, err := u.patch(ctx, f, url, at)
		if err == nil {
			at, failed = next, 0
			continue
		}
		if failed++; ctx.Err() != nil || failed == partTries || errors.Is(err, ErrChanged) || errors.Is(err, errGone) {
			return err
		}
		u.log.Debug("patch is sent again", "file", f.Name, "at", at, "err", err)
		u.count(func(s *Stats) { s.Retries++ })
		if err := u.pause(ctx, failed); err != nil {
			return err
		}
		// Whatever it was, the hub knows where to go on, and how.
		a, err := u.ask(ctx, message.UploadRequest{Method: message.UploadStatus, UploadID: s.UploadID})
		if err != nil {
			return err
		}
		at, url = a.Offset, a.RelayURL
	}
	u.tell(f, at)
	return nil
}

// patch sends the next bytes and returns where to go on.
func (u *Uploader) patch(ctx context.Context, f *File, url string, at int64) (int64, error) {
	to := min(at+message.UploadPatch, f.Size)
	sum, err := f.sum(at, to)
	if err != nil {
		return 0, fmt.Errorf("upload: read at %d: %w", at, err)
	}
	h := http.Header{}
	h.Set("Tus-Resumable", "1.0.0")
	h.Set("Content-Type", "application/offset+octet-stream")
	h.Set("Upload-Offset", strconv.FormatInt(at, 10))
	h.Set("Upload-Checksum", "sha256 "+base64.StdEncoding.EncodeToString(sum[:]))
	resp, err := u.send(ctx, http.MethodPatch, url, h, f, at, to)
	if err != nil {
		return 0, err
	}
	if err := verdict(resp.StatusCode); err != nil {
		return 0, fmt.Errorf("patch at %d: %w", at, err)
	}
	next, err := strconv.ParseInt(resp.Header.Get("Upload-Offset"), 10, 64)
	if err != nil || next <= at || next > f.Size {
		return 0, fmt.Errorf("upload: the hub answers a patch at %d with the offset %q", at, resp.Header.Get("Upload-Offset"))
	}
	return next, nil
}
