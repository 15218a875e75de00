package upload

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/hawser-iot/hawser/cloud/blob"
	"github.com/hawser-iot/hawser/cloud/blob/fileblob"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/shortlink"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/testbed/harness/leak"
)

func TestMain(m *testing.M) { leak.VerifyTestMain(m) }

// matcher keeps what rules see.
type matcher struct {
	mu   sync.Mutex
	seen map[string][]string
}

func (r *matcher) Match(m *uplink.Message, topicName string, _ func() (codec.Value, error), out [][]byte) [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen == nil {
		r.seen = map[string][]string{}
	}
	r.seen[topicName] = append(r.seen[topicName], string(m.Payload))
	return append(out, []byte("seen"))
}

type fixture struct {
	*Uploads
	t     *testing.T
	rules *matcher
	dev   *registry.Device
	answers
}

func newFixture(t *testing.T, db *store.DB) *fixture {
	t.Helper()
	blobs, err := fileblob.Open(filepath.Join(t.TempDir(), "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	return newFixtureAt(t, db, blobs)
}

// newFixtureOver is newFixture with blobs in between.
func newFixtureOver(t *testing.T, db *store.DB, blobs *slowBlobs) *fixture {
	t.Helper()
	folder, err := fileblob.Open(filepath.Join(t.TempDir(), "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	blobs.Store = folder
	return newFixtureAt(t, db, blobs)
}

// newFixtureAt is newFixture over any blob store. The Uploads run until the test ends.
func newFixtureAt(t *testing.T, db *store.DB, blobs blob.Store) *fixture {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	reg, err := registry.New(t.Context(), db, log)
	if err != nil {
		t.Fatal(err)
	}
	p, err := reg.CreateProduct(t.Context(), registry.NewProduct{Name: "camera", Kind: registry.KindDevice})
	if err != nil {
		t.Fatal(err)
	}
	dev, err := reg.CreateDevice(t.Context(), registry.NewDevice{Product: p.SN, SN: "cam-0001"})
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, rules: &matcher{}, dev: dev, answers: answers{make(chan []byte, 10)}}
	f.Uploads = New(DefaultConfig(), Deps{Store: db, Registry: reg, Blobs: blobs, Rules: f.rules, IDs: message.NewIDs(1, 0, time.Now), Log: log,
		Ring: storetest.Keyring, Sender: &f.answers, Links: shortlink.New(storetest.Keyring, func() string { return "https://iot.example.com" })})
	f.run(f.Uploads)
	return f
}

// run runs u until the test ends.
func (f *fixture) run(u *Uploads) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- u.Run(ctx) }()
	f.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			f.t.Error(err)
		}
	})
}

// answers keeps what devices are answered over MQTT.
type answers struct{ ch chan []byte }

func (a *answers) Reply(_ ident.Device, _ string, payload []byte) error {
	a.ch <- payload
	return nil
}

func sumOf(data string) string {
	sum := md5.Sum([]byte(data))
	return hex.EncodeToString(sum[:])
}

func (f *fixture) grant(name, data string) (Grant, string) {
	f.t.Helper()
	g, err := f.Grant(f.t.Context(), f.dev, NewFile{Name: name, Size: int64(len(data)), MD5: sumOf(data), ContentType: "plain/text"})
	if err != nil {
		f.t.Fatal(err)
	}
	return g, strings.TrimPrefix(g.URL, "https://iot.example.com/f/")
}

func (f *fixture) list() []*File {
	f.t.Helper()
	list, err := f.Files(f.t.Context(), f.dev.ID, 0, 100)
	if err != nil {
		f.t.Fatal(err)
	}
	return list
}

// code is the RetCode of an error; 0 of none.
func code(err error) message.Code {
	var r *uplink.Refusal
	switch {
	case err == nil:
		return 0
	case errors.As(err, &r):
		return r.Code
	}
	return message.CodeInternal
}

func TestUpload(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db)
		data := strings.Repeat("0123456789", 100_000)
		g, token := f.grant("/var/log/cam.log", data)
		if len(g.URL) > 200 || strings.ContainsAny(g.Authorization, " \"") {
			t.Errorf("grant %+v", g)
		}
		if len(f.list()) != 0 {
			t.Error("listed before it is there")
		}
		sum := md5.Sum([]byte(data))
		for i, header := range []string{hex.EncodeToString(sum[:]), base64.StdEncoding.EncodeToString(sum[:]), ""} { // the second and third: sent again
			if err := f.Receive(t.Context(), Body{Token: token, Authorization: g.Authorization, MD5: header, Size: int64(len(data)), Data: strings.NewReader(data)}); err != nil {
				t.Fatalf("%d: %v", i, err)
			}
		}
		list := f.list()
		if len(list) != 1 || list[0].Name != "/var/log/cam.log" || list[0].ContentType != "plain/text" || list[0].Received.IsZero() {
			t.Fatalf("files %+v", list)
		}
		r, err := f.Content(t.Context(), list[0])
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil || string(got) != data {
			t.Errorf("content of %d bytes, %v", len(got), err)
		}
		name := "/$system/" + f.dev.Identity.Product + "/cam-0001/upload/document"
		var doc struct {
			FileID, FileName, MD5 string
			FileSize              int64
		}
		if seen := f.rules.seen[name]; len(seen) != 1 || json.Unmarshal([]byte(seen[0]), &doc) != nil || doc.FileName != list[0].Name || doc.FileSize != int64(len(data)) {
			t.Errorf("rules saw %q", seen)
		}
		if err := f.Delete(t.Context(), f.dev.ID, list[0].ID); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Blobs.Stat(t.Context(), list[0].Blob()); !errors.Is(err, blob.ErrNotFound) || len(f.list()) != 0 {
			t.Errorf("after delete: %v", err)
		}
		if err := f.Receive(t.Context(), Body{Token: token, Authorization: g.Authorization, Size: -1, Data: strings.NewReader(data)}); code(err) != message.CodeBadToken {
			t.Errorf("to a deleted file: %v", err)
		}
	})
}

func TestRefusedBodies(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	const data = "the right bytes"
	g, token := f.grant("a", data)
	other := shortlink.Link{Kind: shortlink.Firmware, ID: 1, Until: time.Now().Add(time.Hour)}
	for name, tt := range map[string]struct {
		b    Body
		want message.Code
	}{
		"other bytes":     {Body{Data: strings.NewReader("the wrong bytes"), Size: -1}, message.CodeBad},
		"short":           {Body{Data: strings.NewReader("the"), Size: -1}, message.CodeBad},
		"long":            {Body{Data: strings.NewReader(data + "x"), Size: -1}, message.CodeBad},
		"length":          {Body{Data: strings.NewReader(data), Size: 3}, message.CodeBad},
		"checksum header": {Body{Data: strings.NewReader(data), Size: -1, MD5: sumOf("x")}, message.CodeBad},
		"garbage header":  {Body{Data: strings.NewReader(data), Size: -1, MD5: "?"}, message.CodeBad},
		"authorization":   {Body{Data: strings.NewReader(data), Size: -1, Authorization: "x"}, message.CodeSignature},
		"token":           {Body{Data: strings.NewReader(data), Size: -1, Token: "x"}, message.CodeBadToken},
		"other kind":      {Body{Data: strings.NewReader(data), Size: -1, Token: f.Links.Token(other)}, message.CodeBadToken},
		"broken off":      {Body{Data: io.MultiReader(strings.NewReader("the"), iotest.ErrReader(io.ErrUnexpectedEOF)), Size: -1}, message.CodeBad},
		"broken line":     {Body{Data: io.MultiReader(strings.NewReader("the"), iotest.ErrReader(errors.New("reset"))), Size: -1}, message.CodeInternal},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.b.Token == "" {
				tt.b.Token = token
			}
			if tt.b.Authorization == "" {
				tt.b.Authorization = g.Authorization
			}
			if err := f.Receive(t.Context(), tt.b); code(err) != tt.want {
				t.Errorf("got %v, want %d", err, tt.want)
			}
			if len(f.list()) != 0 || len(f.rules.seen) != 0 {
				t.Error("listed")
			}
		})
	}
	if err := f.Receive(t.Context(), Body{Token: token, Authorization: g.Authorization, Size: -1, Data: strings.NewReader(data)}); err != nil {
		t.Errorf("the right one after all of these: %v", err)
	}
}

func TestRefusedGrants(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	f.cfg.MaxSize, f.cfg.MaxFiles, f.cfg.MaxBytes = 100, 2, 150
	good := NewFile{Name: "a", Size: 100, MD5: sumOf("a")}
	for name, tt := range map[string]struct {
		change func(*NewFile)
		want   message.Code
	}{
		"no name":  {func(n *NewFile) { n.Name = "" }, message.CodeMissing},
		"no MD5":   {func(n *NewFile) { n.MD5 = "" }, message.CodeMissing},
		"bad MD5":  {func(n *NewFile) { n.MD5 = "zz" }, message.CodeBad},
		"control":  {func(n *NewFile) { n.Name = "a\nb" }, message.CodeBad},
		"empty":    {func(n *NewFile) { n.Size = 0 }, message.CodeRange},
		"too big":  {func(n *NewFile) { n.Size = 101 }, message.CodeRange},
		"negative": {func(n *NewFile) { n.Size = -1 }, message.CodeRange},
	} {
		n := good
		tt.change(&n)
		if _, err := f.Grant(t.Context(), f.dev, n); code(err) != tt.want {
			t.Errorf("%s: got %v, want %d", name, err, tt.want)
		}
	}
	if _, err := f.Grant(t.Context(), f.dev, good); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Grant(t.Context(), f.dev, good); code(err) != message.CodeRange { // 200 of 150 bytes
		t.Errorf("bytes: %v", err)
	}
	small := good
	small.Size = 1
	if _, err := f.Grant(t.Context(), f.dev, small); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Grant(t.Context(), f.dev, small); code(err) != message.CodeRange {
		t.Errorf("files: %v", err)
	}
	f.now = func() time.Time { return time.Now().Add(2 * time.Hour) } // permissions have ended
	if _, err := f.Grant(t.Context(), f.dev, small); err != nil {
		t.Errorf("after the permissions ended: %v", err)
	}
}

// TestTrim: permissions that nobody used, files that are old and those of deleted devices go, with their bytes.
func TestTrim(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db)
		f.grant("unused", "x")
		g, token := f.grant("kept", "y")
		if err := f.Receive(t.Context(), Body{Token: token, Authorization: g.Authorization, Size: -1, Data: strings.NewReader("y")}); err != nil {
			t.Fatal(err)
		}
		kept := f.list()[0]
		trim := func(in time.Duration, want int) {
			t.Helper()
			if n, err := f.Trim(context.Background(), time.Now().Add(in)); n != want || err != nil {
				t.Errorf("after %v: %d removed, %v; want %d", in, n, err, want)
			}
		}
		trim(0, 0)
		trim(90*time.Minute, 0)
		trim(3*time.Hour, 1)
		trim(89*24*time.Hour, 0)
		if err := f.Registry.DeleteDevice(t.Context(), f.dev.Identity); err != nil {
			t.Fatal(err)
		}
		trim(0, 1)
		if _, err := f.Blobs.Stat(t.Context(), kept.Blob()); !errors.Is(err, blob.ErrNotFound) {
			t.Errorf("blob: %v", err)
		}
	})
}

// TestTwice: two connections that send the same file at once both succeed, and it is there once.
func TestTwice(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	data := strings.Repeat("z", 3<<20)
	g, token := f.grant("twice", data)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := f.Receive(t.Context(), Body{Token: token, Authorization: g.Authorization, Size: -1, Data: bytes.NewReader([]byte(data))}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(f.list()) != 1 {
		t.Errorf("files %+v", f.list())
	}
}
