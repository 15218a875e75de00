package upload

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/hawser-iot/hawser/cloud/blob"
	"github.com/hawser-iot/hawser/cloud/blob/s3blob"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/testbed/harness"
)

// noise is data of a size, the same for the same seed: no two pages of it are alike.
func noise(seed uint64, size int) []byte {
	page := make([]byte, 4096)
	_, _ = rand.NewChaCha8([32]byte{byte(seed)}).Read(page)
	b := make([]byte, 0, size+len(page))
	for n := uint64(0); len(b) < size; n++ {
		binary.LittleEndian.PutUint64(page, n)
		b = append(b, page...)
	}
	return b[:size]
}

func hexSum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// ask sends a request as the device does; the answer must have the code.
func (f *fixture) ask(r message.UploadRequest, want message.Code) message.UploadReply {
	f.t.Helper()
	r.RequestID = "7"
	body, err := codec.Marshal(codec.JSON, r)
	if err != nil {
		f.t.Fatal(err)
	}
	var a message.UploadReply
	if err := codec.Unmarshal(f.Call(f.t.Context(), f.dev, body), &a); err != nil {
		f.t.Fatal(err)
	}
	if a.RetCode != want || a.RequestID != "7" {
		f.t.Fatalf("%s: answer %+v, want code %d", r.Method, a, want)
	}
	return a
}

func initOf(name string, data []byte) message.UploadRequest {
	return message.UploadRequest{Method: message.UploadInit, FileName: name, FileSize: int64(len(data)), SHA256: hexSum(data), Class: "image", Key: "k-" + name}
}

func (f *fixture) urls(id string, data []byte, size int64, nos ...int) []message.UploadPart {
	f.t.Helper()
	r := message.UploadRequest{Method: message.UploadParts, UploadID: id}
	for _, no := range nos {
		r.Parts = append(r.Parts, message.UploadPart{No: no, SHA256: hexSum(partData(data, size, no))})
	}
	return f.ask(r, 0).Parts
}

func partData(data []byte, size int64, no int) []byte {
	return data[int64(no-1)*size : min(int64(no)*size, int64(len(data)))]
}

func wordOf(url string) string { return url[strings.LastIndexByte(url, '/')+1:] }

func (f *fixture) patch(relay string, data []byte, at, n int64) error {
	piece := data[at:min(at+n, int64(len(data)))]
	_, err := f.Patch(f.t.Context(), wordOf(relay), Patch{Offset: at, SHA256: sha256.Sum256(piece), Data: bytes.NewReader(piece)})
	return err
}

// complete asks until the file is there.
func (f *fixture) complete(id string, want message.Code) message.UploadReply {
	f.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		a := f.ask(message.UploadRequest{Method: message.UploadComplete, UploadID: id}, want)
		if a.State != message.UploadChecking {
			return a
		}
		if time.Now().After(deadline) {
			f.t.Fatal("the check does not end")
		}
	}
}

// arrivedAs checks that there is one file, this one, and that rules saw it once.
func (f *fixture) arrivedAs(data []byte) {
	f.t.Helper()
	list := f.list()
	if len(list) != 1 || list[0].SHA256 != hexSum(data) || list[0].Class != "image" || list[0].Size != int64(len(data)) {
		f.t.Fatalf("files %+v", list)
	}
	r, err := f.Content(f.t.Context(), list[0])
	if err != nil {
		f.t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil || !bytes.Equal(got, data) {
		f.t.Errorf("other content, %v", err)
	}
	for name, seen := range f.rules.seen {
		if len(seen) != 1 || !strings.Contains(seen[0], `"SHA256":"`+hexSum(data)+`","Class":"image"`) {
			f.t.Errorf("rules saw on %s: %q", name, seen)
		}
	}
	if left, err := f.chunks(f.t.Context(), list[0].ID); err != nil || len(left) != 0 {
		f.t.Errorf("chunks are left: %v, %v", left, err)
	}
}

// TestSessionParts: parts in any order to the hub itself, with what may go wrong, over a node that ends in the middle.
func TestSessionParts(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db)
		data := noise(1, 12<<20+77)
		begun := f.ask(initOf("a.jpg", data), 0)
		if begun.PartSize != 5<<20 || begun.State != message.UploadOpen || len(begun.Stored) != 0 || len(f.list()) != 0 {
			t.Fatalf("begun %+v", begun)
		}
		urls := f.urls(begun.UploadID, data, begun.PartSize, 3, 1)
		third, first := partData(data, begun.PartSize, 3), partData(data, begun.PartSize, 1)
		put := func(url string, b []byte) error {
			return f.PutPart(t.Context(), wordOf(url), int64(len(b)), bytes.NewReader(b))
		}
		if err := put(urls[0].URL, first[:len(third)]); !errors.Is(err, ErrChecksum) {
			t.Errorf("other bytes: %v", err)
		}
		if err := put(urls[0].URL, third[:10]); !errors.Is(err, ErrSize) {
			t.Errorf("short: %v", err)
		}
		if err := put(begun.RelayURL, third); !errors.Is(err, ErrLink) {
			t.Errorf("to the relay's URL: %v", err)
		}
		if err := put(urls[0].URL, third); err != nil {
			t.Fatal(err)
		}
		f.ask(message.UploadRequest{Method: message.UploadComplete, UploadID: begun.UploadID}, message.CodeRange) // parts are missing
		again := New(DefaultConfig(), f.Deps)
		f.run(again)
		f.Uploads = again
		if err := put(urls[1].URL, first); err != nil {
			t.Fatal(err)
		}
		if a := f.ask(initOf("a.jpg", data), 0); a.UploadID != begun.UploadID || !slices.Equal(a.Stored, [][2]int{{1, 1}, {3, 3}}) || a.Offset != begun.PartSize {
			t.Fatalf("found again: %+v", a)
		}
		if err := put(f.urls(begun.UploadID, data, begun.PartSize, 2)[0].URL, partData(data, begun.PartSize, 2)); err != nil {
			t.Fatal(err)
		}
		if a := f.complete(begun.UploadID, 0); a.State != message.UploadDone || a.FileID != begun.UploadID {
			t.Errorf("complete: %+v", a)
		}
		f.arrivedAs(data)
		for _, r := range []message.UploadRequest{initOf("a.jpg", data), {Method: message.UploadComplete, UploadID: begun.UploadID}} {
			if a := f.ask(r, 0); a.State != message.UploadDone || a.FileID != begun.UploadID {
				t.Errorf("%s once more: %+v", r.Method, a)
			}
		}
		if err := f.Delete(t.Context(), f.dev.ID, f.list()[0].ID); err != nil {
			t.Fatal(err)
		}
		if a := f.ask(initOf("a.jpg", data), 0); a.UploadID == begun.UploadID || a.State != message.UploadOpen {
			t.Errorf("after it was deleted: %+v", a)
		}
	})
}

// TestSessionRelay: patches one behind the other, and then a part.
func TestSessionRelay(t *testing.T) {
	for name, dir := range map[string]string{"blobs": "", "staged": t.TempDir()} {
		t.Run(name, func(t *testing.T) { testSessionRelay(t, dir) })
	}
}

func testSessionRelay(t *testing.T, dir string) {
	f := newFixture(t, storetest.SQLite(t))
	f.staging(dir)
	data := noise(2, 6<<20)
	a := f.ask(initOf("b", data), 0)
	if err := f.patch(a.RelayURL, data, 100, 50); !errors.Is(err, ErrOffset) {
		t.Errorf("a gap: %v", err)
	}
	if _, err := f.Patch(t.Context(), wordOf(a.RelayURL), Patch{SHA256: [32]byte{1}, Data: strings.NewReader("x")}); !errors.Is(err, ErrChecksum) {
		t.Errorf("other bytes: %v", err)
	}
	if err := f.patch(a.RelayURL, data, 0, message.UploadPatchMax+1); !errors.Is(err, ErrSize) {
		t.Errorf("too long: %v", err)
	}
	for at := int64(0); at < a.PartSize; at += message.UploadPatch {
		if err := f.patch(a.RelayURL, data, at, message.UploadPatch); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.patch(a.RelayURL, data, 0, message.UploadPatch); !errors.Is(err, ErrOffset) {
		t.Errorf("again: %v", err)
	}
	if at, size, err := f.Offset(t.Context(), wordOf(a.RelayURL)); at != a.PartSize || size != int64(len(data)) || err != nil {
		t.Errorf("offset %d of %d, %v", at, size, err)
	}
	part := f.urls(a.UploadID, data, a.PartSize, 2)[0]
	last := partData(data, a.PartSize, 2)
	if err := f.PutPart(t.Context(), wordOf(part.URL), -1, bytes.NewReader(last)); err != nil {
		t.Fatal(err)
	}
	if a := f.complete(a.UploadID, 0); a.State != message.UploadDone {
		t.Errorf("complete: %+v", a)
	}
	f.arrivedAs(data)
	f.now = func() time.Time { return time.Now().Add(urlLife + time.Minute) }
	if err := f.patch(a.RelayURL, data, 0, 1); !errors.Is(err, ErrLink) {
		t.Errorf("when the URL has expired: %v", err)
	}
}

// TestSessionS3 puts parts to a bucket with pre-signed URLs, lets some come by the relay, and crashes after the object was assembled.
func TestSessionS3(t *testing.T) {
	server := harness.StartS3(t)
	blobs, err := s3blob.Open(t.Context(), s3blob.Config{Endpoint: server.Addr, Bucket: server.Bucket, AccessKey: server.AccessKey, SecretKey: server.SecretKey, CAs: server.CAs})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = blobs.Close() })
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: server.CAs, MinVersion: tls.VersionTLS12}}}
	t.Cleanup(client.CloseIdleConnections)
	put := func(p message.UploadPart, b []byte) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, p.URL, bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range p.Header {
			req.Header.Set(k, v)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("part %d: %s", p.No, resp.Status)
		}
	}
	t.Run("away", func(t *testing.T) { // what was acknowledged stays, the end of a part too
		f := newFixtureAt(t, storetest.SQLite(t), blobs)
		f.staging(t.TempDir())
		data := noise(3, 5<<20+100)
		a := f.ask(initOf("away", data), 0)
		f.relayAll(a.RelayURL, data[:4<<20], 0, 1<<20)
		server.Kill()
		for _, at := range []int64{4 << 20, 5 << 20} {
			if err := f.patch(a.RelayURL, data, at, 1<<20); !errors.Is(err, blob.ErrUnavailable) {
				t.Errorf("at %d: %v", at, err)
			}
		}
		if got := f.ask(message.UploadRequest{Method: message.UploadStatus, UploadID: a.UploadID}, 0); got.Offset != 5<<20 {
			t.Errorf("offset %d: the whole part is on the disk", got.Offset)
		}
		server.Restart()
		f.relayAll(a.RelayURL, data, 5<<20, 1<<20)
		if a := f.complete(a.UploadID, 0); a.State != message.UploadDone {
			t.Errorf("complete: %+v", a)
		}
		f.arrivedAs(data)
	})
	t.Run("cleared up", func(t *testing.T) { // by a lifecycle rule of the bucket: the file begins anew
		f := newFixtureAt(t, storetest.SQLite(t), blobs)
		data := noise(3, 100)
		a := f.ask(initOf("cleared", data), 0)
		put(f.urls(a.UploadID, data, a.PartSize, 1)[0], data)
		s, err := f.mine(t.Context(), f.dev.ID, a.UploadID)
		if err != nil {
			t.Fatal(err)
		}
		if err := blobs.Abort(t.Context(), s.Blob(), s.multipart); err != nil {
			t.Fatal(err)
		}
		if a := f.ask(initOf("cleared", data), 0); len(a.Stored) != 0 {
			t.Errorf("stored %+v", a)
		}
		put(f.urls(a.UploadID, data, a.PartSize, 1)[0], data)
		if a := f.complete(a.UploadID, 0); a.State != message.UploadDone {
			t.Errorf("complete: %+v", a)
		}
		f.arrivedAs(data)
	})
	for name, relayed := range map[string][]int{"direct": nil, "mixed": {1, 3}, "relay": {1, 2, 3}, "mixed, staged": {1, 3}, "relay, staged": {1, 2, 3}} {
		t.Run(name, func(t *testing.T) {
			f := newFixtureAt(t, storetest.SQLite(t), blobs)
			if strings.HasSuffix(name, "staged") {
				f.staging(t.TempDir())
			}
			data := noise(3, 11<<20)
			a := f.ask(initOf(name, data), 0)
			for no := 1; no <= 3; no++ {
				if !slices.Contains(relayed, no) {
					put(f.urls(a.UploadID, data, a.PartSize, no)[0], partData(data, a.PartSize, no))
					continue
				}
				for at := int64(no-1) * a.PartSize; at < min(int64(no)*a.PartSize, int64(len(data))); at += 1 << 20 {
					if err := f.patch(a.RelayURL, data, at, 1<<20); err != nil {
						t.Fatal(err)
					}
				}
			}
			if a := f.ask(message.UploadRequest{Method: message.UploadStatus, UploadID: a.UploadID}, 0); !slices.Equal(a.Stored, [][2]int{{1, 3}}) {
				t.Fatalf("stored %+v", a)
			}
			s, err := f.mine(t.Context(), f.dev.ID, a.UploadID)
			if err != nil {
				t.Fatal(err)
			}
			if sum, err := f.assemble(t.Context(), s); err != nil || sum != s.SHA256 { // and crash
				t.Fatalf("assemble: %s, %v", sum, err)
			}
			if a := f.complete(a.UploadID, 0); a.State != message.UploadDone {
				t.Errorf("complete: %+v", a)
			}
			f.arrivedAs(data)
		})
	}
}

// TestSessionWrongSum: a file whose bytes are not those of its digest is never listed, and begins anew.
func TestSessionWrongSum(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	data := noise(4, 1000)
	lied := initOf("c", data)
	lied.SHA256 = hexSum([]byte("other"))
	a := f.ask(lied, 0)
	if err := f.patch(a.RelayURL, data, 0, 1000); err != nil {
		t.Fatal(err)
	}
	f.complete(a.UploadID, message.CodeBad)
	f.ask(message.UploadRequest{Method: message.UploadStatus, UploadID: a.UploadID}, message.CodeMissing)
	if len(f.list()) != 0 || len(f.rules.seen) != 0 {
		t.Error("listed")
	}
	if b := f.ask(lied, 0); b.UploadID == a.UploadID || b.Offset != 0 {
		t.Errorf("begun again: %+v", b)
	}
}

// TestSessionChanged: another content under the same key begins anew and leaves nothing of the old; sessions that stand still go after a week.
func TestSessionChanged(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	data, other := noise(5, 3000), noise(6, 3000)
	a := f.ask(initOf("d", data), 0)
	if err := f.patch(a.RelayURL, data, 0, 1500); err != nil {
		t.Fatal(err)
	}
	s, err := f.mine(t.Context(), f.dev.ID, a.UploadID)
	if err != nil {
		t.Fatal(err)
	}
	b := f.ask(initOf("d", other), 0)
	if b.UploadID == a.UploadID || b.Offset != 0 {
		t.Errorf("changed: %+v", b)
	}
	if _, err := f.Blobs.Stat(t.Context(), s.chunkBlob(0)); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("chunk of the old content: %v", err)
	}
	if err := f.patch(a.RelayURL, data, 1500, 1500); !errors.Is(err, ErrNotFound) {
		t.Errorf("to the old session: %v", err)
	}
	for want, in := range []time.Duration{6 * 24 * time.Hour, 7*24*time.Hour + 2*time.Hour} {
		if n, err := f.Trim(context.Background(), time.Now().Add(in)); n != want || err != nil {
			t.Errorf("after %v: %d removed, %v; want %d", in, n, err, want)
		}
		if want == 0 {
			f.ask(message.UploadRequest{Method: message.UploadStatus, UploadID: b.UploadID}, 0)
		}
	}
}

func TestSessionRefused(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	if err := f.SetPolicy(t.Context(), f.dev.Identity.Product, Policy{MaxSize: 5000, MaxBytes: 9000, ProductBytes: 7000, Classes: []string{"image", "log"}}); err != nil {
		t.Fatal(err)
	}
	data := noise(7, 4000)
	for name, tt := range map[string]struct {
		change func(*message.UploadRequest)
		want   message.Code
	}{
		"no name":      {func(r *message.UploadRequest) { r.FileName = "" }, message.CodeMissing},
		"control":      {func(r *message.UploadRequest) { r.FileName = "a\x1b[2Jb" }, message.CodeBad},
		"direction":    {func(r *message.UploadRequest) { r.FileName = "a\u202egpj.exe" }, message.CodeBad},
		"line":         {func(r *message.UploadRequest) { r.FileName = "a\u2028b" }, message.CodeBad},
		"long":         {func(r *message.UploadRequest) { r.FileName = strings.Repeat("a", 513) }, message.CodeBad},
		"no digest":    {func(r *message.UploadRequest) { r.SHA256 = "" }, message.CodeMissing},
		"bad digest":   {func(r *message.UploadRequest) { r.SHA256 = "zz" }, message.CodeBad},
		"class":        {func(r *message.UploadRequest) { r.Class = "A B" }, message.CodeBad},
		"other class":  {func(r *message.UploadRequest) { r.Class = "video" }, message.CodeBad},
		"negative":     {func(r *message.UploadRequest) { r.FileSize = -1 }, message.CodeRange},
		"too big":      {func(r *message.UploadRequest) { r.FileSize = 5001 }, message.CodeRange},
		"key":          {func(r *message.UploadRequest) { r.Key = "a\n" }, message.CodeBad},
		"type":         {func(r *message.UploadRequest) { r.ContentType = "a\r\nb: c" }, message.CodeBad},
		"part 0":       {func(r *message.UploadRequest) { r.Parts = []message.UploadPart{{No: 0, SHA256: hexSum(nil)}} }, message.CodeBad},
		"part 2 of 1":  {func(r *message.UploadRequest) { r.Parts = []message.UploadPart{{No: 2, SHA256: hexSum(nil)}} }, message.CodeBad},
		"too many":     {func(r *message.UploadRequest) { r.Parts = make([]message.UploadPart, 17) }, message.CodeRange},
		"no such verb": {func(r *message.UploadRequest) { r.Method = "steal" }, message.CodeMissing},
	} {
		t.Run(name, func(t *testing.T) {
			f.t = t
			r := initOf("e", data)
			tt.change(&r)
			f.ask(r, tt.want)
		})
	}
	f.t = t
	odd := initOf("../../etc/passwd", data)            // a name is only shown
	odd.Key, odd.Class = "k-e", message.ClassDiagnosis // which the policy does not name
	f.ask(odd, 0)
	f.ask(initOf("<script>alert(1)</script>", data), message.CodeRange)
	if got := f.Call(t.Context(), f.dev, []byte("{")); !bytes.Contains(got, []byte(`"RetCode":230`)) {
		t.Errorf("no JSON: %s", got)
	}
}

// TestSessionOverMQTT: a request on upload/upstream is answered beside the path.
func TestSessionOverMQTT(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	body, err := codec.Marshal(codec.CBOR, initOf("f", []byte("x")))
	if err != nil {
		t.Fatal(err)
	}
	m := &uplink.Message{Device: f.dev.Identity, DeviceID: f.dev.ID, Payload: body, CBOR: true}
	if err := f.Handle(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	var a message.UploadReply
	got := <-f.ch
	if err := codec.Unmarshal(got, &a); err != nil || codec.Detect(got) != codec.CBOR || a.RetCode != 0 || a.UploadID == "" {
		t.Errorf("answer %+v, %v", a, err)
	}
	m.Payload = make([]byte, MaxRequest+1)
	if err := f.Handle(t.Context(), m); code(err) != message.CodeTooLong {
		t.Errorf("too long: %v", err)
	}
}

func TestPartSize(t *testing.T) {
	for _, tt := range []struct{ size, wish, want int64 }{
		{0, 0, 5 << 20}, {1 << 40, 0, 64 << 20}, {100 << 30, 0, 11 << 20}, {1 << 20, 20 << 20, 20 << 20}, {1 << 20, 1 << 50, 64 << 20}, {1 << 20, -1, 5 << 20}, {1, 7<<20 + 1, 8 << 20},
	} {
		if got := partSize(tt.size, tt.wish); got != tt.want {
			t.Errorf("%d, wish %d: got %d, want %d", tt.size, tt.wish, got, tt.want)
		}
	}
}

// FuzzSpans: what is covered is in order, has no overlaps, and holds what was put in; pieces find a way through exactly what is covered.
func FuzzSpans(fz *testing.F) {
	fz.Add([]byte{0, 5, 5, 3, 2, 9})
	fz.Fuzz(func(t *testing.T, b []byte) {
		s := &session{File: &File{Size: 600}, partSize: 50}
		st, held := &stock{}, map[int64]bool{}
		for i := 0; i+1 < len(b) && i < 40; i += 2 {
			c := span{int64(b[i]), int64(b[i]) + int64(b[i+1]) + 1}
			st.chunks = append(st.chunks, c)
			for at := c.from; at < c.to; at++ {
				held[at] = true
			}
		}
		last, n := int64(-1), 0
		for _, c := range st.covered(s) {
			if c.from <= last || c.from >= c.to {
				t.Fatalf("%v", st.covered(s))
			}
			for at := c.from; at < c.to; at, n = at+1, n+1 {
				if !held[at] {
					t.Fatalf("%d is not there", at)
				}
			}
			last = c.to
		}
		if n != len(held) {
			t.Fatalf("%d of %d covered", n, len(held))
		}
		for _, r := range runs(s, st.covered(s)) {
			for at := s.part(r[0]).from; at < s.part(r[1]).to; at++ {
				if !held[at] {
					t.Fatalf("part with %d is not whole", at)
				}
			}
		}
	})
}

// FuzzRequest: what is taken of a device's request can be shown, and stored, whatever it holds.
func FuzzRequest(fz *testing.F) {
	u := New(DefaultConfig(), Deps{})
	fz.Add("a.jpg", "k", "image", "image/jpeg", hexSum(nil), int64(1), int64(1))
	fz.Add("../a\x00", "a\u202e", "A", "a\r\nb", "zz", int64(-1), int64(1<<62))
	fz.Fuzz(func(t *testing.T, name, key, class, kind, sum string, size, wish int64) {
		f, err := u.checkSession(&message.UploadRequest{FileName: name, Key: key, Class: class, ContentType: kind, SHA256: sum, FileSize: size})
		if err != nil {
			return
		}
		for _, text := range []string{f.Name, key, f.ContentType, f.Class} {
			if !utf8.ValidString(text) || len(text) > maxName || strings.ContainsAny(text, "\r\n\x00\x1f\u202e") {
				t.Errorf("%q is taken", text)
			}
		}
		if len(f.SHA256) != 64 || f.SHA256 != strings.ToLower(f.SHA256) {
			t.Errorf("digest %q", f.SHA256)
		}
		f.ID, f.Product = 1, "p"
		if err := blob.CheckName(f.Blob()); err != nil {
			t.Error(err)
		}
		if size < 0 || size > 1<<40 {
			return
		}
		s := &session{File: f, partSize: partSize(size, wish)}
		if s.partSize < message.UploadPartMin || s.partSize > message.UploadPartMax || s.parts() > 0 && (s.part(s.parts()).to != size || s.partAt(size-1) != s.parts()) {
			t.Errorf("%d bytes with the wish %d: parts of %d", size, wish, s.partSize)
		}
	})
}

// FuzzTicket: only what seal made is opened, and what is read is written the same.
func FuzzTicket(fz *testing.F) {
	u := &Uploads{Deps: Deps{Ring: storetest.Keyring}, now: time.Now}
	fz.Add(u.seal(ticket{kind: partTicket, file: 7, part: 3, until: 1 << 31, sha256: [32]byte{9}}))
	fz.Add("")
	fz.Fuzz(func(t *testing.T, word string) {
		for _, kind := range []byte{partTicket, relayTicket} {
			got, err := u.open(word, kind)
			if err == nil && u.seal(got) != word {
				t.Errorf("%q opens, but is sealed otherwise", word)
			}
		}
		if b := []byte(word); len(b) >= ticketHead {
			if got, ok := parseTicket(b[:ticketHead]); ok && !bytes.Equal(got.bytes(), b[:ticketHead]) {
				t.Errorf("%q is written otherwise", word)
			}
		}
	})
}

// TestSearchAndLink finds files by all that they are known by, and opens links.
func TestSearchAndLink(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db)
		for name, size := range map[string]int{"a.jpg": 10, "b_%.log": 20, "bx%.log": 30} {
			data := noise(1, size)
			r := initOf(name, data)
			if size > 10 {
				r.Class = "log"
			}
			a := f.ask(r, 0)
			if err := f.patch(a.RelayURL, data, 0, int64(size)); err != nil {
				t.Fatal(err)
			}
			f.complete(a.UploadID, 0)
		}
		size := func(n int64) *int64 { return &n }
		soon := time.Now().Add(time.Minute)
		for name, tt := range map[string]struct {
			s    Search
			want string
		}{
			"all":      {Search{}, "a.jpg b_%.log bx%.log"},
			"device":   {Search{Device: f.dev.ID}, "a.jpg b_%.log bx%.log"},
			"another":  {Search{Device: f.dev.ID + 1}, ""},
			"pattern":  {Search{Pattern: "*.log"}, "b_%.log bx%.log"},
			"literal":  {Search{Pattern: "b_%*"}, "b_%.log"},
			"class":    {Search{Class: "image"}, "a.jpg"},
			"least":    {Search{MinSize: size(20)}, "b_%.log bx%.log"},
			"most":     {Search{MaxSize: size(20)}, "a.jpg b_%.log"},
			"from":     {Search{From: soon}, ""},
			"to":       {Search{To: soon, Class: "log"}, "b_%.log bx%.log"},
			"together": {Search{Pattern: "b*", MaxSize: size(25), Class: "log"}, "b_%.log"},
		} {
			tt.s.Product = f.dev.Identity.Product
			list, err := f.Search(t.Context(), tt.s, 0, 10)
			var names []string
			for _, file := range list {
				names = append(names, file.Name)
				if file.DeviceSN != "cam-0001" {
					t.Errorf("%s: device %q", name, file.DeviceSN)
				}
			}
			slices.Sort(names)
			if got := strings.Join(names, " "); err != nil || got != tt.want {
				t.Errorf("%s: got %q, want %q, %v", name, got, tt.want, err)
			}
		}
		file := f.list()[0]
		url, until := f.Link(file, time.Hour)
		if got, err := f.Linked(t.Context(), wordOf(url)); err != nil || got.ID != file.ID || time.Until(until) > time.Hour {
			t.Errorf("link %s until %v: %+v, %v", url, until, got, err)
		}
		if _, until := f.Link(file, 1000*24*time.Hour); time.Until(until) > MaxLinkLife {
			t.Errorf("until %v", until)
		}
		g, token := f.grant("z", "z")
		if _, err := f.Linked(t.Context(), token); !errors.Is(err, ErrNotFound) {
			t.Errorf("the URL of a grant, %s: %v", g.URL, err)
		}
	})
}
