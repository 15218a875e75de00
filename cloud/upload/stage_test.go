package upload

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/blob"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/protocol/message"
)

// staging has f stage patches in a folder, as after a restart of the hub.
func (f *fixture) staging(dir string) {
	cfg := DefaultConfig()
	cfg.StageDir = dir
	f.Uploads = New(cfg, f.Deps)
	f.run(f.Uploads)
}

// relayAll sends data by the relay from an offset on, n bytes at a time, which need not fit the parts.
func (f *fixture) relayAll(relay string, data []byte, at, n int64) {
	f.t.Helper()
	for ; at < int64(len(data)); at += n {
		if err := f.patch(relay, data, at, n); err != nil {
			f.t.Fatalf("at %d: %v", at, err)
		}
	}
}

// TestStage: patches of any length become parts, over restarts in the middle and at the end of a part.
func TestStage(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	dir := filepath.Join(t.TempDir(), "stage")
	f.staging(dir)
	data := noise(1, 11<<20+5)
	a := f.ask(initOf("a", data), 0)
	n, at := int64(700_001), int64(0)
	for ; at < 6<<20; at += n {
		if err := f.patch(a.RelayURL, data, at, n); err != nil {
			t.Fatal(err)
		}
	}
	if list := f.ongoing(0, 0, 1); list[0].Stored != at {
		t.Errorf("listed with %d, want %d", list[0].Stored, at)
	}
	f.staging(dir)
	if got := f.ask(message.UploadRequest{Method: message.UploadStatus, UploadID: a.UploadID}, 0); got.Offset != at {
		t.Fatalf("after a restart it goes on at %d, want %d", got.Offset, at)
	}
	f.relayAll(a.RelayURL, data, at, n)
	f.staging(dir)
	if a := f.complete(a.UploadID, 0); a.State != message.UploadDone {
		t.Errorf("complete: %+v", a)
	}
	f.arrivedAs(data)
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// TestStageTorn: of a log that was cut or changed anywhere, what is before that is kept, and nothing else.
func TestStageTorn(t *testing.T) {
	whole := newStage(t.TempDir(), true)
	data := noise(2, 3000)
	g, err := whole.take(7)
	if err == nil {
		err = whole.empty(g, 500, nil)
	}
	for at := 0; at < 3000 && err == nil; at += 1000 {
		err = whole.add(g, data[at:at+1000])
	}
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.ReadFile(whole.path(7))
	if err != nil {
		t.Fatal(err)
	}
	whole.close()
	const record = stageHead + 1000
	for name, tt := range map[string]struct {
		log  []byte
		want int64 // bytes that are kept
	}{
		"whole":             {log, 3000},
		"empty":             {nil, 0},
		"half a head":       {log[:record+10], 1000},
		"half a record":     {log[:3*record-1], 2000},
		"a head alone":      {log[:2*record+stageHead], 2000},
		"a bit in data":     {flip(log, record+stageHead+5), 1000},
		"a bit in a head":   {flip(log, 2*record+9), 2000},
		"zeros at the end":  {append(bytes.Clone(log), make([]byte, 4096)...), 3000},
		"a record is gone":  {append(bytes.Clone(log[:record]), log[2*record:]...), 1000},
		"an absurd length":  {flip(log, 2*record+7), 2000},
		"the first is torn": {flip(log, 30), 0},
	} {
		s := newStage(t.TempDir(), true)
		if err := os.WriteFile(s.path(7), tt.log, 0o600); err != nil {
			t.Fatal(err)
		}
		at, err := s.at(7)
		if err != nil || at.to-at.from != tt.want || tt.want > 0 && at.from != 500 {
			t.Errorf("%s: %v, %v, want %d bytes", name, at, err, tt.want)
		}
		g, err := s.take(7)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(g.reader())
		if err != nil || !bytes.Equal(got, data[:tt.want]) || [32]byte(g.part.Sum(nil)) != sha256.Sum256(got) {
			t.Errorf("%s: %d other bytes, %v", name, len(got), err)
		}
		if info, err := os.Stat(s.path(7)); err != nil || info.Size() != g.size {
			t.Errorf("%s: the log is not cut: %v, %v", name, info, err)
		}
		s.close()
	}
}

func flip(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 0x40
	return b
}

// TestStageAway: while the blob store is away what comes is acknowledged, and the file is made when it is back.
func TestStageAway(t *testing.T) {
	blobs := &slowBlobs{}
	f := newFixtureOver(t, storetest.SQLite(t), blobs)
	f.staging(filepath.Join(t.TempDir(), "stage"))
	data := noise(3, 5<<20+100)
	a := f.ask(initOf("a", data), 0)
	blobs.away.Store(true)
	f.relayAll(a.RelayURL, data, 0, 1<<20)
	f.complete(a.UploadID, message.CodeInternal)
	blobs.away.Store(false)
	if a := f.complete(a.UploadID, 0); a.State != message.UploadDone {
		t.Errorf("complete: %+v", a)
	}
	f.arrivedAs(data)
}

// TestStageMixed: parts that came directly before, in the middle of and behind what is staged are part of the file.
func TestStageMixed(t *testing.T) {
	for name, direct := range map[string][]int{"before": {1}, "middle": {2}, "behind": {3}, "around": {1, 3}, "all": {1, 2, 3}} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, storetest.SQLite(t))
			f.staging(filepath.Join(t.TempDir(), "stage"))
			data := noise(7, 10<<20+1000)
			a := f.ask(initOf("a", data), 0)
			put := func() {
				for _, p := range f.urls(a.UploadID, data, a.PartSize, direct...) {
					part := partData(data, a.PartSize, p.No)
					if err := f.PutPart(t.Context(), wordOf(p.URL), -1, bytes.NewReader(part)); err != nil {
						t.Fatal(err)
					}
				}
			}
			if name != "before" && name != "around" {
				f.relayAll(a.RelayURL, data[:1<<20], 0, 1<<20)
			}
			put()
			for at := int64(0); at < int64(len(data)); {
				at = f.ask(message.UploadRequest{Method: message.UploadStatus, UploadID: a.UploadID}, 0).Offset
				if err := f.patch(a.RelayURL, data, at, 1<<20); err != nil && !errors.Is(err, ErrOffset) {
					t.Fatal(err)
				}
			}
			if a := f.complete(a.UploadID, 0); a.State != message.UploadDone {
				t.Errorf("complete: %+v", a)
			}
			f.arrivedAs(data)
		})
	}
}

// TestStageOvertaken: what began by the relay and came directly after all is not what the relay had of it, over a restart too.
func TestStageOvertaken(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	dir := filepath.Join(t.TempDir(), "stage")
	f.staging(dir)
	data := noise(8, 10<<20+1000)
	a := f.ask(initOf("a", data), 0)
	f.relayAll(a.RelayURL, data[:1<<20], 0, 1<<20)
	for _, p := range f.urls(a.UploadID, data, a.PartSize, 1, 2) {
		if err := f.PutPart(t.Context(), wordOf(p.URL), -1, bytes.NewReader(partData(data, a.PartSize, p.No))); err != nil {
			t.Fatal(err)
		}
	}
	f.staging(dir)
	if err := f.patch(a.RelayURL, data, 2*a.PartSize, 1<<20); err != nil {
		t.Fatal(err)
	}
	if a := f.complete(a.UploadID, 0); a.State != message.UploadDone {
		t.Errorf("complete: %+v", a)
	}
	f.arrivedAs(data)
}

// TestStageSwept: what is staged of an upload that is cancelled goes with it; what nobody knows of goes with Trim.
func TestStageSwept(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	dir := filepath.Join(t.TempDir(), "stage")
	f.staging(dir)
	data := noise(4, 1000)
	a := f.ask(initOf("a", data), 0)
	if err := f.patch(a.RelayURL, data, 0, 100); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "12345"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.Cancel(t.Context(), f.dev.ID, f.ongoing(0, 0, 1)[0].ID); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		in   time.Duration
		want int
	}{{0, 1}, {2 * trimGrace, 0}} { // what is young may be of a session that has just begun
		if _, err := f.Trim(t.Context(), time.Now().Add(tt.in)); err != nil {
			t.Fatal(err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != tt.want {
			t.Errorf("after %v: %v, %v", tt.in, left, err)
		}
	}
	if f.stage.bytes != 0 {
		t.Errorf("%d bytes are counted", f.stage.bytes)
	}
}

// TestStageFull: beyond the room for what is staged patches are blobs, behind what is staged already.
func TestStageFull(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	f.staging(filepath.Join(t.TempDir(), "stage"))
	data := noise(5, 5<<20+10)
	a := f.ask(initOf("a", data), 0)
	f.relayAll(a.RelayURL, data[:1<<20], 0, 1<<19)
	f.stage.mu.Lock()
	f.stage.bytes += stageMost
	f.stage.mu.Unlock()
	if err := f.patch(a.RelayURL, data, 1<<20, 1<<20); err != nil {
		t.Fatal(err)
	}
	if list, err := f.chunks(t.Context(), f.ongoing(0, 0, 1)[0].ID); err != nil || len(list) != 2 {
		t.Errorf("chunks %v, %v", list, err)
	}
	f.stage.mu.Lock()
	f.stage.bytes -= stageMost
	f.stage.mu.Unlock()
	f.relayAll(a.RelayURL, data, 2<<20, 1<<20)
	if a := f.complete(a.UploadID, 0); a.State != message.UploadDone {
		t.Errorf("complete: %+v", a)
	}
	f.arrivedAs(data)
}

// TestShortPatches: where each patch is a blob, a device cannot make as many as its file has bytes.
func TestShortPatches(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	data := noise(6, 20<<10)
	a := f.ask(initOf("a", data), 0)
	id := f.ongoing(0, 0, 1)[0].ID
	err := f.Store.Update(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ?) INSERT INTO upload_chunk (file, start, size) SELECT ?, i, 1 FROM n`,
			shortPatches-1, id)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		n    int64
		want error
	}{{shortPatch - 1, ErrSize}, {shortPatch, nil}, {int64(len(data)) - shortPatches - shortPatch - 1, nil}, {1, nil}} {
		at := f.ask(message.UploadRequest{Method: message.UploadStatus, UploadID: a.UploadID}, 0).Offset
		if err := f.patch(a.RelayURL, data, at, tt.n); !errors.Is(err, tt.want) {
			t.Errorf("%d bytes at %d: %v, want %v", tt.n, at, err, tt.want)
		}
	}
}

// FuzzStage: whatever is in a log, what is read of it is written the same again.
func FuzzStage(fz *testing.F) {
	one := append(appendHead(nil, 5, []byte("abc")), "abc"...)
	fz.Add(one)
	fz.Add(append(append(bytes.Clone(one), appendHead(nil, 8, []byte("de"))...), "de"...))
	fz.Fuzz(func(t *testing.T, log []byte) {
		f, err := os.CreateTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Close() }()
		if _, err := f.Write(log); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		g := &staged{part: sha256.New(), f: f}
		if err := g.recover(f); err != nil {
			t.Fatal(err)
		}
		if g.size > int64(len(log)) || g.to < g.from {
			t.Fatalf("%d bytes, %v", g.size, g.span)
		}
		data, err := io.ReadAll(g.reader())
		if err != nil || int64(len(data)) != g.to-g.from {
			t.Fatalf("%d bytes of %v, %v", len(data), g.span, err)
		}
		var again []byte
		r, at := bytes.NewReader(log[:g.size]), g.from
		for r.Len() > 0 {
			from, data, err := readRecord(r)
			if err != nil || from != at {
				t.Fatalf("record at %d: %d, %v", at, from, err)
			}
			again = append(appendHead(again, from, data), data...)
			at += int64(len(data))
		}
		if !bytes.Equal(again, log[:g.size]) {
			t.Fatal("written otherwise")
		}
	})
}

// FuzzSum: what is read as the state of a digest is written the same.
func FuzzSum(fz *testing.F) {
	r := newSum()
	r.whole.Write([]byte("abc"))
	fz.Add(r.text())
	fz.Add("")
	fz.Fuzz(func(t *testing.T, text string) {
		if r := parseSum(text); r != nil {
			r.whole.Write([]byte("x"))
			_ = r.String()
		}
	})
}

// TestSum: the digest goes on over a restart, and the order of parts counts.
func TestSum(t *testing.T) {
	data, r := noise(6, 1000), newSum()
	for at := 0; at < len(data); at += 300 {
		r.whole.Write(data[at:min(at+300, len(data))])
		if r = parseSum(r.text()); r == nil {
			t.Fatal("not read")
		}
	}
	if r.String() != hexSum(data) {
		t.Errorf("digest %s", r)
	}
	a, b := blob.Part{SHA256: [32]byte{1}}, blob.Part{SHA256: [32]byte{2}}
	if chain([]blob.Part{a, b}) == chain([]blob.Part{b, a}) || next(next([32]byte{}, a.SHA256), b.SHA256) != chain([]blob.Part{a, b}) {
		t.Error("parts")
	}
}
