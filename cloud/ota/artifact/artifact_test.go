package artifact

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/blob"
	"github.com/hawser-iot/hawser/cloud/blob/fileblob"
	"github.com/hawser-iot/hawser/cloud/ota/artifact/artifacttest"
	"github.com/hawser-iot/hawser/cloud/registry"
	"github.com/hawser-iot/hawser/cloud/store"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/firmware/delta"
	"github.com/hawser-iot/hawser/firmware/failure"
	"github.com/hawser-iot/hawser/firmware/image"
	"github.com/hawser-iot/hawser/firmware/signing"
	"github.com/hawser-iot/hawser/testbed/harness/leak"
)

func TestMain(m *testing.M) { leak.VerifyTestMain(m) }

type fixture struct {
	*Repository
	t       *testing.T
	maker   *artifacttest.Maker
	product string
	reg     *registry.Registry
	nextID  int64
}

func newFixture(t *testing.T, db *store.DB) *fixture {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	reg, err := registry.New(t.Context(), db, log)
	if err != nil {
		t.Fatal(err)
	}
	p, err := reg.CreateProduct(t.Context(), registry.NewProduct{Name: "thermo", Kind: registry.KindDevice})
	if err != nil {
		t.Fatal(err)
	}
	blobs, err := fileblob.Open(filepath.Join(t.TempDir(), "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	cfg := DefaultConfig()
	cfg.Rest, cfg.TempDir = 0, t.TempDir()
	return &fixture{Repository: New(cfg, Deps{Store: db, Blobs: blobs, Log: log}), t: t, maker: artifacttest.New(t), product: p.SN, reg: reg}
}

func (f *fixture) director() signing.PublicKey {
	f.t.Helper()
	k, err := f.Director(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	return k
}

// trust gives the product its first root document.
func (f *fixture) trust() {
	f.t.Helper()
	if _, err := f.AddRoot(f.t.Context(), f.product, f.maker.NextRoot(f.t, f.director())); err != nil {
		f.t.Fatal(err)
	}
}

// add takes a release without its images.
func (f *fixture) add(sequence uint64, images ...artifacttest.Image) *Release {
	f.t.Helper()
	rel, err := f.Verify(f.t.Context(), f.product, f.maker.Envelope(f.t, sequence, images...))
	if err != nil {
		f.t.Fatal(err)
	}
	f.nextID++
	rel.ID = f.nextID
	if err := f.Store.Update(f.t.Context(), func(tx *store.Tx) error { return f.Insert(f.t.Context(), tx, rel) }); err != nil {
		f.t.Fatal(err)
	}
	return rel
}

func (f *fixture) receive(rel *Release, images ...artifacttest.Image) {
	f.t.Helper()
	for _, i := range images {
		if err := f.Receive(f.t.Context(), rel, i.Module, bytes.NewReader(i.Data)); err != nil {
			f.t.Fatal(err)
		}
	}
}

func (f *fixture) progress(rel *Release) Progress {
	f.t.Helper()
	list, err := f.Files(f.t.Context(), rel.ID)
	if err != nil {
		f.t.Fatal(err)
	}
	return ProgressOf(list)
}

func (f *fixture) read(rel *Release, path string) []byte {
	f.t.Helper()
	c, err := f.Content(f.t.Context(), rel.ID, path)
	if err != nil {
		f.t.Fatalf("%s: %v", path, err)
	}
	if c.Blob == "" {
		return c.Data
	}
	body, info, err := f.Blobs.Get(f.t.Context(), c.Blob, 0, -1)
	if err != nil || info.Size != c.Size {
		f.t.Fatalf("%s: %+v, %v", path, info, err)
	}
	b, err := io.ReadAll(body)
	if err := errors.Join(err, body.Close()); err != nil {
		f.t.Fatal(err)
	}
	return b
}

func noise(seed byte, n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{seed})
	_, _ = r.Read(b)
	return b
}

// TestRelease goes from a manifest to what devices download, and to a delta from what they run.
func TestRelease(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db)
		f.trust()
		old := artifacttest.Image{Module: "default", Version: "1.0", Data: noise(1, 400_000), Chunks: true}
		next := artifacttest.Image{Module: "default", Version: "2.0", Data: slices.Concat(old.Data[:200_000], []byte("more"), old.Data[200_000:]), Chunks: true}
		first := f.add(1, old)
		if p := f.progress(first); p != (Progress{Missing: 1, Making: 2}) {
			t.Fatalf("without its image: %+v", p)
		}
		f.receive(first, old)
		if p := f.progress(first); p != (Progress{Making: 1}) {
			t.Fatalf("without its pack: %+v", p)
		}
		second := f.add(2, next)
		f.receive(second, next)
		dev, err := f.reg.CreateDevice(t.Context(), registry.NewDevice{Product: f.product, SN: "thermo-1"})
		if err != nil {
			t.Fatal(err)
		}
		base := old.Component(t).Image.Digest.String()
		if err := db.Update(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), `INSERT INTO module_version (device, module, version, reported_at, manifest, image) VALUES (?, 'default', '1.0', 1, 1, ?)`, dev.ID, base)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Content(t.Context(), second.ID, "delta/default/"+base); !errors.Is(err, ErrNoFile) {
			t.Errorf("a delta before it was made: %v", err)
		}
		if err := f.work(t.Context()); err != nil {
			t.Fatal(err)
		}
		if p := f.progress(second); !p.Ready() || !f.progress(first).Ready() {
			t.Fatalf("after work: %+v", p)
		}
		f.checkServed(second, next, old)
	})
}

func (f *fixture) checkServed(rel *Release, i, old artifacttest.Image) {
	t := f.t
	t.Helper()
	if !bytes.Equal(f.read(rel, "manifest"), rel.Envelope) || !bytes.Equal(f.read(rel, "image/default"), i.Data) {
		t.Error("manifest or image is not what came in")
	}
	index, err := image.ParseVerified(f.read(rel, "index/default"), image.Digest(i.Component(t).Index.Digest))
	if err != nil {
		t.Fatal(err)
	}
	d := f.read(rel, "delta/default/"+old.Component(t).Image.Digest.String())
	if len(d) > len(i.Data)/10 {
		t.Errorf("delta of %d bytes", len(d))
	}
	pack, err := delta.Open(t.Context(), image.FileSource(bytes.NewReader(d), int64(len(d))), index)
	if err != nil {
		t.Fatal(err)
	}
	full := f.read(rel, "pack/default")
	fetch, err := image.OpenPack(t.Context(), image.FileSource(bytes.NewReader(full), int64(len(full))), index)
	if err != nil {
		t.Fatal(err)
	}
	for name, cfg := range map[string]delta.Config{"delta": {Base: bytes.NewReader(old.Data), Pack: pack}, "full pack": {Fetch: fetch}} {
		out := &memory{}
		cfg.Index, cfg.Target = index, out
		if _, err := delta.Apply(t.Context(), cfg); err != nil || !bytes.Equal(out.b, i.Data) {
			t.Errorf("%s makes another image: %v", name, err)
		}
	}
}

// memory is a target in memory.
type memory struct{ b []byte }

func (m *memory) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(m.b).ReadAt(p, off)
}

func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	if need := int(off) + len(p); need > len(m.b) {
		m.b = append(m.b, make([]byte, need-len(m.b))...)
	}
	return copy(m.b[off:], p), nil
}

func (m *memory) Sync() error { return nil }

// TestRefused: nothing is taken that is not signed by those who may, or is not what was signed.
func TestRefused(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	i := artifacttest.Image{Module: "default", Version: "1.0", Data: noise(1, 100_000), Chunks: true}
	good := f.maker.Envelope(t, 1, i)
	if _, err := f.Verify(t.Context(), f.product, good); !errors.Is(err, ErrNoRoot) {
		t.Errorf("without a root: %v", err)
	}
	f.trust()
	thief := artifacttest.New(t)
	changed := bytes.Clone(good)
	changed[len(changed)-3] ^= 1
	for name, b := range map[string][]byte{
		"one key of two": f.maker.SignedBy(t, f.maker.Release[:1], 1, i), "no key": f.maker.SignedBy(t, nil, 1, i), "the thief's": thief.Envelope(t, 1, i),
		"root keys": f.maker.SignedBy(t, f.maker.Root[:], 1, i), "changed": changed, "empty": nil,
	} {
		_, err := f.Verify(t.Context(), f.product, b)
		if _, ok := errors.AsType[*RefusedError](err); !ok || failure.Of(err) != failure.Signature {
			t.Errorf("%s: %v", name, err)
		}
	}
	rel := f.add(1, i)
	other := bytes.Clone(i.Data)
	other[50_000] ^= 1
	for name, b := range map[string][]byte{"another": other, "short": i.Data[:99_999], "long": append(bytes.Clone(i.Data), 0), "empty": nil} {
		err := f.Receive(t.Context(), rel, "default", bytes.NewReader(b))
		if _, ok := errors.AsType[*RefusedError](err); !ok || failure.Of(err) != failure.Hash {
			t.Errorf("%s: %v", name, err)
		}
		if p := f.progress(rel); p.Missing != 1 {
			t.Errorf("%s: %+v", name, p)
		}
	}
	if err := f.Receive(t.Context(), rel, "radio", nil); !errors.Is(err, ErrNoFile) {
		t.Errorf("no such component: %v", err)
	}
	f.receive(rel, i)
}

// TestWrongIndex: an image whose index the manifest does not name is refused, though its digest is right.
func TestWrongIndex(t *testing.T) {
	i := artifacttest.Image{Module: "default", Version: "1.0", Data: noise(1, 100_000), Chunks: true}
	c := i.Component(t)
	c.Index = &c.Image
	v := newVerifier(t.Context(), &c, bytes.NewReader(i.Data))
	defer v.stop()
	if _, err := io.Copy(io.Discard, v); failure.Of(err) != failure.Hash {
		t.Errorf("got %v", err)
	}
}

// TestRoots walks root documents, and refuses to leave the way.
func TestRoots(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db)
		director := f.director()
		if again := f.director(); again != director {
			t.Fatal("another director key")
		}
		other := New(f.cfg, f.Deps) // another node
		one, two, three := f.maker.NextRoot(t, director), f.maker.NextRoot(t, director), f.maker.NextRoot(t, artifacttest.New(t).Root[0].Public())
		add := func(doc []byte) error { _, err := f.AddRoot(t.Context(), f.product, doc); return err }
		for _, step := range []struct {
			name string
			doc  []byte
			want failure.Class
		}{{"two first", two, failure.Dependency}, {"rubbish", []byte("x"), failure.Signature}, {"one", one, ""}, {"one again", one, ""},
			{"three too early", three, failure.Dependency}, {"a thief's", artifacttest.New(t).NextRoot(t, director), failure.Rollback}, {"two", two, ""}, {"back to one", one, failure.Rollback}} {
			if err := add(step.doc); failure.Of(err) != step.want || (err == nil) != (step.want == "") {
				t.Errorf("%s: %v", step.name, err)
			}
		}
		c, err := other.Roots(t.Context(), f.product)
		if err != nil || len(c) != 2 || !c.Directs(director) || len(c.After(0)) != 2 || len(c.After(1)) != 1 || c.After(2) != nil {
			t.Errorf("another node: %v, %v", c, err)
		}
	})
}

// TestShared: what two releases have in common is kept once, and goes with the last of them.
func TestShared(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db)
		f.trust()
		app := artifacttest.Image{Module: "app", Version: "1.0", Data: noise(1, 50_000)}
		radio := artifacttest.Image{Module: "radio", Version: "1.0", Data: noise(2, 50_000)}
		first := f.add(1, app, radio)
		f.receive(first, app, radio)
		radio.Version = "1.1" // the same bytes under another name
		app.Data = noise(3, 50_000)
		second := f.add(2, app, radio)
		if p := f.progress(second); p != (Progress{Missing: 1}) {
			t.Fatalf("second release: %+v", p)
		}
		f.receive(second, app)
		shared := blobName(Image, radio.Component(t).Image.Digest.String())
		mine := blobName(Image, app.Component(t).Image.Digest.String())
		remove := func(rel *Release) {
			t.Helper()
			if err := db.Update(t.Context(), func(tx *store.Tx) error { return f.Delete(t.Context(), tx, rel.ID) }); err != nil {
				t.Fatal(err)
			}
		}
		there := func(name string) bool {
			_, err := f.Blobs.Stat(t.Context(), name)
			if err != nil && !errors.Is(err, blob.ErrNotFound) {
				t.Fatal(err)
			}
			return err == nil
		}
		trim := func(after time.Duration, want int) {
			t.Helper()
			if n, err := f.Trim(t.Context(), time.Now().Add(after)); err != nil || n != want {
				t.Errorf("trimmed %d, %v, want %d", n, err, want)
			}
		}
		remove(second)
		trim(time.Hour, 0) // it may come again soon
		trim(48*time.Hour, 1)
		if there(mine) || !there(shared) {
			t.Error("the second release's own image is there, or the shared one is not")
		}
		remove(first)
		trim(48*time.Hour, 2)
		if there(shared) {
			t.Error("the shared image is left")
		}
		third := f.add(3, app)
		f.receive(third, app) // from the beginning
	})
}

// TestRemovedMeanwhile: a blob on its way out is not written, and not taken for one that is there.
func TestRemovedMeanwhile(t *testing.T) {
	f := newFixture(t, storetest.SQLite(t))
	f.trust()
	i := artifacttest.Image{Module: "default", Version: "1.0", Data: noise(1, 1000)}
	first := f.add(1, i)
	f.receive(first, i)
	if err := f.Store.Update(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(context.WithoutCancel(t.Context()), `UPDATE ota_artifact SET state = 2`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	second := f.add(2, i)
	if err := f.Receive(t.Context(), second, "default", bytes.NewReader(i.Data)); !errors.Is(err, ErrBusy) {
		t.Errorf("got %v", err)
	}
}

// TestOtherProduct: a manifest that names the digest of another product's image does not get it; who has the image sends it, and it is kept once.
func TestOtherProduct(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db)
		f.trust()
		i := artifacttest.Image{Module: "default", Version: "1.0", Data: noise(1, 50_000), Chunks: true}
		spy := *f
		p, err := f.reg.CreateProduct(t.Context(), registry.NewProduct{Name: "spy", Kind: registry.KindDevice})
		if err != nil {
			t.Fatal(err)
		}
		spy.product, spy.maker, spy.nextID = p.SN, artifacttest.New(t), 100
		spy.trust()
		early := spy.add(1, i) // before the image is there
		mine := f.add(1, i)
		f.receive(mine, i)
		late := spy.add(2, i)
		if err := f.work(t.Context()); err != nil {
			t.Fatal(err)
		}
		for name, rel := range map[string]*Release{"early": early, "late": late} {
			if p := f.progress(rel); p.Missing != 1 {
				t.Errorf("%s: %+v", name, p)
			}
			if _, err := f.Content(t.Context(), rel.ID, "image/default"); !errors.Is(err, ErrNoFile) {
				t.Errorf("%s has the image: %v", name, err)
			}
		}
		spy.receive(late, i)
		if !f.progress(early).Ready() || !f.progress(late).Ready() || !f.progress(mine).Ready() {
			t.Error("not ready with the image")
		}
	})
}

// TestAttackOtherIndex: a manifest that names an image which its product has, and the chunk index of another product's image, gets nothing of that: neither when
// the other one's index and pack are there already, nor when they are made later.
func TestAttackOtherIndex(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db)
		f.trust()
		secret := artifacttest.Image{Module: "default", Version: "1.0", Data: noise(1, 50_000), Chunks: true}
		spy := *f
		p, err := f.reg.CreateProduct(t.Context(), registry.NewProduct{Name: "spy", Kind: registry.KindDevice})
		if err != nil {
			t.Fatal(err)
		}
		spy.product, spy.maker, spy.nextID = p.SN, artifacttest.New(t), 100
		spy.trust()
		own := artifacttest.Image{Module: "default", Version: "1.0", Data: noise(2, 50_000), Chunks: true}
		first := spy.add(1, own)
		spy.receive(first, own)
		own.Index = secret.Data
		early := spy.add(2, own) // before the image is there
		mine := f.add(1, secret)
		f.receive(mine, secret)
		work := func() {
			t.Helper()
			for range 3 {
				if err := f.work(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		work()
		late := spy.add(3, own)
		work()
		for name, rel := range map[string]*Release{"early": early, "late": late} {
			for _, path := range []string{"index/default", "pack/default"} {
				if _, err := f.Content(t.Context(), rel.ID, path); !errors.Is(err, ErrNoFile) {
					t.Errorf("%s has %s: %v", name, path, err)
				}
			}
		}
		if !f.progress(mine).Ready() || !f.progress(first).Ready() || f.progress(late).Ready() {
			t.Error("not ready with what is their own, or ready with what is not")
		}
		again := f.add(2, artifacttest.Image{Module: "default", Version: "1.1", Data: secret.Data, Chunks: true})
		if !f.progress(again).Ready() {
			t.Error("what was made of the image is not taken for the next release with it")
		}
	})
}

// TestRetiredTogether: two director keys that are retired at the same moment on two nodes are not the last two.
func TestRetiredTogether(t *testing.T) {
	f := newFixture(t, storetest.Postgres(t))
	old := f.director()
	next, err := f.RotateDirector(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	retired, held := make(chan error, 1), make(chan struct{})
	go func() {
		<-held
		_, err := f.RetireDirector(t.Context(), next.Key.ID(), false)
		retired <- err
	}()
	err = f.Store.Update(t.Context(), func(tx *store.Tx) error { // what the other node does with the old one
		if _, err := tx.Exec(t.Context(), `DELETE FROM director_key WHERE id = 1`); err != nil {
			return err
		}
		close(held)
		for deadline := time.Now().Add(time.Minute); len(retired) == 0 && time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
			var waiting int64 // seen from outside: a transaction sees the same all the time
			err := f.Store.QueryRow(t.Context(), `SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&waiting)
			if err != nil || waiting > 0 {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-retired; !errors.Is(err, ErrLastDirector) {
		t.Errorf("the last one: %v", err)
	}
	if got := f.director(); got != next.Key || got == old {
		t.Errorf("the hub has %v, want %v", got.ID(), next.Key.ID())
	}
}
