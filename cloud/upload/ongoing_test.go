package upload

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/blob"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/protocol/message"
)

func (f *fixture) ongoing(device, before int64, limit int) []*Ongoing {
	f.t.Helper()
	list, err := f.Ongoing(f.t.Context(), f.dev.Identity.Product, device, before, limit)
	if err != nil {
		f.t.Fatal(err)
	}
	return list
}

// TestOngoing lists uploads with how far they are, and cancels one: its device is refused the same file for a day, and no other.
func TestOngoing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db)
		f.grant("one PUT", "x")
		data, other := noise(1, 11<<20), noise(2, 100)
		a := f.ask(initOf("a", data), 0)
		f.ask(initOf("b", other), 0)
		list := f.ongoing(0, 0, 10)
		if len(list) != 2 || list[0].Name != "b" || list[1].DeviceSN != "cam-0001" || list[1].Stored != 0 || list[1].PartSize != 5<<20 || !list[1].Progress.Equal(list[1].Begun) {
			t.Fatalf("uploads %+v", list)
		}
		if first := f.ongoing(f.dev.ID, 0, 1); len(first) != 1 || first[0].Name != "b" || len(f.ongoing(0, first[0].ID, 1)) != 1 || len(f.ongoing(f.dev.ID+1, 0, 10)) != 0 {
			t.Error("pages and devices")
		}
		p := f.urls(a.UploadID, data, a.PartSize, 1)[0]
		if err := f.PutPart(t.Context(), wordOf(p.URL), -1, bytes.NewReader(data[:5<<20])); err != nil {
			t.Fatal(err)
		}
		f.ask(message.UploadRequest{Method: message.UploadStatus, UploadID: a.UploadID}, 0)
		if list := f.ongoing(0, 0, 10); list[1].Stored != 5<<20 || list[1].Progress.Before(list[1].Begun) {
			t.Errorf("after a part: %+v", list[1])
		}
		id := list[1].ID
		if err := f.patch(a.RelayURL, data, 5<<20, 1<<20); err != nil {
			t.Fatal(err)
		}
		if o, err := f.OngoingFile(t.Context(), f.dev.ID, id); err != nil || o.Stored != 6<<20 || o.Checking {
			t.Errorf("one: %+v, %v", o, err)
		}
		if err := f.Cancel(t.Context(), f.dev.ID+1, id); !errors.Is(err, ErrNotFound) {
			t.Errorf("of another device: %v", err)
		}
		if err := f.Cancel(t.Context(), f.dev.ID, id); err != nil {
			t.Fatal(err)
		}
		if err := f.patch(a.RelayURL, data, 6<<20, 1<<20); !errors.Is(err, ErrNotFound) {
			t.Errorf("a patch to what was cancelled: %v", err)
		}
		if err := f.Cancel(t.Context(), f.dev.ID, id); !errors.Is(err, ErrNotFound) {
			t.Errorf("twice: %v", err)
		}
		f.ask(message.UploadRequest{Method: message.UploadStatus, UploadID: a.UploadID}, message.CodeMissing)
		f.ask(initOf("a", data), message.CodeBad)
		f.ask(initOf("a", data[1:]), 0) // it has changed
		f.now = func() time.Time { return time.Now().Add(cancelLife + time.Minute) }
		f.ask(initOf("a", data), 0)
		if _, err := f.Trim(t.Context(), f.now()); err != nil {
			t.Fatal(err)
		}
		var left int
		if err := db.QueryRow(t.Context(), `SELECT COUNT(*) FROM upload_cancelled`).Scan(&left); err != nil || left != 0 {
			t.Errorf("%d are kept of what was cancelled, %v", left, err)
		}
	})
}

// slowBlobs lets something happen when a blob has been put.
type slowBlobs struct {
	blob.Store
	after func(name string)
	fail  string // the name that cannot be deleted
	away  atomic.Bool
}

func (s *slowBlobs) Put(ctx context.Context, name string, r io.Reader, size int64) (blob.Info, error) {
	if s.away.Load() {
		return blob.Info{}, blob.ErrUnavailable
	}
	info, err := s.Store.Put(ctx, name, r, size)
	if s.after != nil {
		s.after(name)
	}
	return info, err
}

func (s *slowBlobs) Delete(ctx context.Context, name string) error {
	if name == s.fail {
		return blob.ErrUnavailable
	}
	return s.Store.Delete(ctx, name)
}

// TestEndedWhileComing: a part whose session ends while it is stored leaves no bytes that nobody knows of, whatever ended it.
func TestEndedWhileComing(t *testing.T) {
	for name, end := range map[string]func(f *fixture, a message.UploadReply) error{
		"cancelled": func(f *fixture, a message.UploadReply) error {
			return f.Cancel(f.t.Context(), f.dev.ID, f.ongoing(0, 0, 1)[0].ID)
		},
		"dropped": func(f *fixture, a message.UploadReply) error { return f.Drop(f.t.Context(), wordOf(a.RelayURL)) },
		"expired": func(f *fixture, a message.UploadReply) error {
			_, err := f.Trim(f.t.Context(), time.Now().Add(8*24*time.Hour))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			db := storetest.SQLite(t)
			blobs := &slowBlobs{}
			f := newFixtureOver(t, db, blobs)
			data := noise(3, 1000)
			a := f.ask(initOf("a", data), 0)
			part := f.urls(a.UploadID, data, a.PartSize, 1)[0]
			var stored string
			blobs.after = func(name string) {
				stored = name
				if err := end(f, a); err != nil {
					t.Error(err)
				}
			}
			if err := f.PutPart(t.Context(), wordOf(part.URL), -1, bytes.NewReader(data)); !errors.Is(err, ErrNotFound) {
				t.Errorf("the part: %v", err)
			}
			if _, err := f.Blobs.Stat(t.Context(), stored); stored == "" || !errors.Is(err, blob.ErrNotFound) {
				t.Errorf("blob %q: %v", stored, err)
			}
			var rows int
			if err := db.QueryRow(t.Context(), `SELECT COUNT(*) FROM upload_chunk`).Scan(&rows); err != nil || rows != 0 {
				t.Errorf("%d rows, %v", rows, err)
			}
		})
	}
}

// TestTrimGoesOn: a file that cannot be removed keeps no other one from being removed.
func TestTrimGoesOn(t *testing.T) {
	blobs := &slowBlobs{}
	f := newFixtureOver(t, storetest.SQLite(t), blobs)
	f.grant("a", "x")
	f.grant("b", "y")
	var first int64
	if err := f.Store.QueryRow(t.Context(), `SELECT MIN(id) FROM device_file`).Scan(&first); err != nil {
		t.Fatal(err)
	}
	blobs.fail = (&File{ID: first, Product: f.dev.Identity.Product}).Blob()
	later := time.Now().Add(3 * time.Hour)
	if n, err := f.Trim(t.Context(), later); n != 1 || !errors.Is(err, blob.ErrUnavailable) {
		t.Errorf("%d removed, %v", n, err)
	}
	blobs.fail = ""
	if n, err := f.Trim(t.Context(), later); n != 1 || err != nil {
		t.Errorf("then %d removed, %v", n, err)
	}
}

// TestGrantsAtOnce: many that ask at the same moment get no more than the limits allow.
func TestGrantsAtOnce(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	f.cfg.MaxFiles = 3
	results := make(chan error)
	for range 12 {
		go func() {
			_, err := f.Grant(t.Context(), f.dev, NewFile{Name: "a", Size: 1, MD5: sumOf("a")})
			results <- err
		}()
	}
	given := 0
	for range 12 {
		switch err := <-results; code(err) {
		case 0:
			given++
		case message.CodeRange:
		default:
			t.Error(err)
		}
	}
	if given != 3 {
		t.Errorf("%d permissions, want 3", given)
	}
}
