package delta

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/hawser-iot/hawser/firmware/image"
	"github.com/hawser-iot/hawser/firmware/imagetest"
)

// TestPowerCutAtEveryOperation cuts the power at each write and sync. What is on the disk then is as a disk leaves it: a torn write, and
// some unsynced ones lost. The next run completes the image.
func TestPowerCutAtEveryOperation(t *testing.T) {
	u := typical(t)
	disk := imagetest.NewDisk(int64(len(u.new)))
	cfg := u.config(t, disk)
	cfg.SyncEvery = 500_000
	if _, err := Apply(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	all := disk.Ops()
	if all < len(u.index.Chunks)+4 {
		t.Fatalf("%d operations for %d chunks", all, len(u.index.Chunks))
	}
	resumed := 0
	for cut := 1; cut <= all; cut++ {
		disk := imagetest.NewDisk(int64(len(u.new)))
		cfg := u.config(t, disk)
		cfg.SyncEvery = 500_000
		disk.CutAt = cut
		if _, err := Apply(t.Context(), cfg); !errors.Is(err, imagetest.ErrPowerCut) || !errors.Is(err, ErrTarget) {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		disk.Restart()
		r, err := Apply(t.Context(), cfg)
		if err != nil || !bytes.Equal(disk.Bytes(), u.new) {
			t.Fatalf("after a cut at %d: %v", cut, err)
		}
		resumed += r.Resumed
	}
	if resumed < all {
		t.Errorf("%d runs found %d chunks that were there", all, resumed)
	}
}

// TestPowerCutDuringResume cuts the power again and again.
func TestPowerCutDuringResume(t *testing.T) {
	u := typical(t)
	disk := imagetest.NewDisk(int64(len(u.new)))
	cfg := u.config(t, disk)
	cfg.SyncEvery = 1
	for runs := 1; ; runs++ {
		disk.CutAt = disk.Ops() + 5
		_, err := Apply(t.Context(), cfg)
		if err == nil {
			break
		}
		if runs > len(u.index.Chunks) {
			t.Fatalf("no end after %d runs: %v", runs, err)
		}
		disk.Restart()
	}
	if !bytes.Equal(disk.Bytes(), u.new) {
		t.Error("the disk does not hold the image")
	}
}

// broken is a Source that breaks off after some bytes.
type broken struct {
	image.Source
	left int64
}

var errNetwork = errors.New("connection reset")

func (b *broken) Range(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	r, err := b.Source.Range(ctx, off, n)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(&breaking{r, b}), nil
}

type breaking struct {
	io.Reader
	b *broken
}

func (r *breaking) Read(p []byte) (int, error) {
	if r.b.left == 0 {
		return 0, errNetwork
	}
	n, err := r.Reader.Read(p[:min(int64(len(p)), r.b.left)])
	r.b.left -= int64(n)
	return n, err
}

// TestNetworkThatBreaks holds that a connection which breaks is not taken for a bad chunk, and that what was done is not done again.
func TestNetworkThatBreaks(t *testing.T) {
	u := typical(t)
	disk := imagetest.NewDisk(int64(len(u.new)))
	cfg := u.config(t, disk)
	src := &broken{source(u.delta), 100_000}
	var err error
	if cfg.Pack, err = Open(t.Context(), src, u.index); err != nil {
		t.Fatal(err)
	}
	first, err := Apply(t.Context(), cfg)
	if !errors.Is(err, ErrSource) || !errors.Is(err, errNetwork) || first.Fetched != 0 || first.Written == 0 {
		t.Fatalf("Apply: %+v, %v", first, err)
	}
	src.left = 1 << 30
	second, err := Apply(t.Context(), cfg)
	if err != nil || !bytes.Equal(disk.Bytes(), u.new) {
		t.Fatalf("Apply: %v", err)
	}
	if second.Written+first.Written != int64(len(u.new)) || second.Net >= int64(len(u.delta)) {
		t.Errorf("first %+v, then %+v", first, second)
	}
}

func TestCancelled(t *testing.T) {
	u := typical(t)
	disk := imagetest.NewDisk(int64(len(u.new)))
	cfg := u.config(t, disk)
	ctx, cancel := context.WithCancel(t.Context())
	cfg.Progress = func(done, total int64) {
		if done > total/2 {
			cancel()
		}
	}
	if r, err := Apply(ctx, cfg); !errors.Is(err, context.Canceled) || r.Written == int64(len(u.new)) {
		t.Errorf("Apply: %+v, %v", r, err)
	}
}
