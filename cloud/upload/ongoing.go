package upload

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
)

// Ongoing is a file that comes in parts and is not there yet. File.Expires is when it ends unless it makes progress.
type Ongoing struct {
	*File
	Stored   int64 // bytes; in lists as the hub looked last, which is at most a part behind
	PartSize int64
	Begun    time.Time
	Progress time.Time // when Stored became more; Begun before anything came
	Checking bool      // this node reads the whole of it, because its device said that it is complete
}

// cancelLife is for how long a device is refused a file that was cancelled.
const cancelLife = 24 * time.Hour

func (u *Uploads) ongoing(s *session) *Ongoing {
	u.checkMu.Lock()
	defer u.checkMu.Unlock()
	return &Ongoing{File: s.File, Stored: s.stored, PartSize: s.partSize, Begun: s.begun, Progress: s.progress, Checking: u.checking[s.ID] != nil}
}

// Ongoing lists the files of a product that come in parts and are not there yet, those that began last first, with the serial numbers of their
// devices. device is an id, or 0 for all; before is as in Files.
func (u *Uploads) Ongoing(ctx context.Context, product string, device, before int64, limit int) (list []*Ongoing, err error) {
	where, args := `device_file.product = ? AND device_file.state = 0`, []any{product}
	if device != 0 {
		where, args = where+` AND device_file.device = ?`, append(args, device)
	}
	if before != 0 {
		where, args = where+` AND device_file.id < ?`, append(args, before)
	}
	sessions, err := u.querySessions(ctx, where+` ORDER BY device_file.id DESC LIMIT ?`, append(args, limit)...)
	if err != nil {
		return nil, err
	}
	for _, s := range sessions {
		dev, err := u.Registry.DeviceByID(ctx, s.Device)
		switch {
		case err == nil:
			s.DeviceSN = dev.Identity.SN
		case !errors.Is(err, registry.ErrDeviceNotFound): // it was deleted, its uploads go soon
			return nil, err
		}
		if u.stage != nil {
			at, err := u.stage.at(s.ID)
			if err != nil {
				return nil, err
			}
			s.stored = max(s.stored, at.to)
		}
		list = append(list, u.ongoing(s))
	}
	return list, nil
}

// OngoingFile is one file of a device that comes in parts, with what is stored now.
func (u *Uploads) OngoingFile(ctx context.Context, device, id int64) (*Ongoing, error) {
	s, err := u.openSession(ctx, device, id)
	if err != nil {
		return nil, err
	}
	st, err := u.stocked(ctx, s)
	if err != nil {
		return nil, err
	}
	err = u.progressed(ctx, s, st.covered(s))
	return u.ongoing(s), err
}

func (u *Uploads) openSession(ctx context.Context, device, id int64) (*session, error) {
	return u.readSession(ctx, `upload_session.file = ? AND upload_session.device = ? AND device_file.state = 0`, id, device)
}

var putCancelled = store.NewStmt(`INSERT INTO upload_cancelled (device, res_key, sha256, until) VALUES (?, ?, ?, ?)
	ON CONFLICT (device, res_key) DO UPDATE SET sha256 = excluded.sha256, until = excluded.until`)

// Cancel ends a file that comes in parts and removes what there is of it. Its device is refused the same file for a day; another content under the
// same key is taken. ErrNotFound for one that has arrived.
func (u *Uploads) Cancel(ctx context.Context, device, id int64) error {
	s, err := u.openSession(ctx, device, id)
	if err != nil {
		return err
	}
	return u.end(ctx, s, "cancelled", putCancelled.Op(s.Device, s.key, s.SHA256, u.now().Add(cancelLife).UnixMilli()))
}

// cancelled tells whether a file was cancelled lately.
func (u *Uploads) cancelled(ctx context.Context, device int64, key, sha256 string) (bool, error) {
	var n int
	err := u.Store.QueryRow(ctx, `SELECT COUNT(*) FROM upload_cancelled WHERE device = ? AND res_key = ? AND sha256 = ? AND until > ?`,
		device, key, sha256, u.now().UnixMilli()).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("upload: read what was cancelled: %w", err)
	}
	return n > 0, nil
}

var noteProgress = store.NewStmt(`UPDATE upload_session SET stored = ?, progress_at = ? WHERE file = ?`)

// progressed notes how much is stored when that has changed.
func (u *Uploads) progressed(ctx context.Context, s *session, covered []span) error {
	var stored int64
	for _, c := range covered {
		stored += c.to - c.from
	}
	if stored == s.stored || s.done {
		return nil
	}
	s.stored, s.progress = stored, u.now()
	if err := u.Store.Do(ctx, &store.Unit{Device: s.Device, Ops: []store.Op{noteProgress.Op(stored, s.progress.UnixMilli(), s.ID)}}); err != nil {
		return fmt.Errorf("upload: note progress: %w", err)
	}
	return nil
}
