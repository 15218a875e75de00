package delta

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/hawser-iot/hawser/firmware/image"
	"github.com/hawser-iot/hawser/firmware/imagetest"
)

// TestWithoutDelta fetches the whole image, with neighbours together.
func TestWithoutDelta(t *testing.T) {
	u := typical(t)
	disk := imagetest.NewDisk(int64(len(u.new)))
	cfg := u.config(t, disk)
	cfg.Pack, cfg.Base = nil, nil
	r, err := Apply(t.Context(), cfg)
	if err != nil || !bytes.Equal(disk.Bytes(), u.new) {
		t.Fatalf("Apply: %v", err)
	}
	if r.Fetched != len(u.index.Chunks) || r.Net < 1<<20 {
		t.Errorf("%+v", r)
	}
}

func TestBudget(t *testing.T) {
	u := typical(t)
	run := func(t *testing.T, disk *imagetest.Disk, b Budget) (Report, error) {
		t.Helper()
		cfg := u.config(t, disk)
		cfg.Base = bytes.NewReader(nil) // all is to be fetched
		cfg.Budget = b
		return Apply(t.Context(), cfg)
	}
	const bytesEach = 700_000
	t.Run("fail", func(t *testing.T) {
		disk := imagetest.NewDisk(int64(len(u.new)))
		for runs := 0; ; runs++ {
			r, err := run(t, disk, Budget{Bytes: bytesEach})
			if r.Net > bytesEach {
				t.Fatalf("%d bytes were read", r.Net)
			}
			if err == nil {
				break
			}
			if !errors.Is(err, ErrBudget) || r.Written == 0 || runs > 20 {
				t.Fatalf("run %d: %+v, %v", runs, r, err)
			}
		}
		if !bytes.Equal(disk.Bytes(), u.new) {
			t.Error("the disk does not hold the image")
		}
	})
	t.Run("wait", func(t *testing.T) {
		disk := imagetest.NewDisk(int64(len(u.new)))
		waits := 0
		r, err := run(t, disk, Budget{Bytes: bytesEach, Spent: Wait, More: func(_ context.Context, needed int64) (int64, error) {
			if needed <= 0 {
				t.Errorf("asked for %d bytes", needed)
			}
			waits++
			return bytesEach, nil
		}})
		if err != nil || waits == 0 || r.Net > bytesEach*int64(1+waits) || !bytes.Equal(disk.Bytes(), u.new) {
			t.Errorf("%d waits: %+v, %v", waits, r, err)
		}
		disk = imagetest.NewDisk(int64(len(u.new)))
		given := errors.New("given up")
		if _, err := run(t, disk, Budget{Bytes: 1, Spent: Wait, More: func(context.Context, int64) (int64, error) { return 0, given }}); !errors.Is(err, given) {
			t.Errorf("a wait that ends with an error: %v", err)
		}
		if _, err := run(t, disk, Budget{Bytes: 1, Spent: Wait}); !errors.Is(err, ErrBudget) {
			t.Errorf("nobody to wait for: %v", err)
		}
	})
	t.Run("continue", func(t *testing.T) {
		disk := imagetest.NewDisk(int64(len(u.new)))
		r, err := run(t, disk, Budget{Bytes: 1000, Spent: Continue})
		if err != nil || r.Net < bytesEach || !bytes.Equal(disk.Bytes(), u.new) {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

// liar is a Fetcher that gives something else.
type liar struct {
	Fetcher
	give func(numbers []int, each func(no int, b []byte) error) error
}

func (l liar) Chunks(_ context.Context, numbers []int, each func(no int, b []byte) error) error {
	return l.give(numbers, each)
}

func TestFetcherThatLies(t *testing.T) {
	u := typical(t)
	first := u.new[:u.index.Chunks[0].Len]
	for _, tt := range []struct {
		name string
		give func(numbers []int, each func(no int, b []byte) error) error
		want error
	}{
		{"noise", func(numbers []int, each func(int, []byte) error) error {
			return each(numbers[0], imagetest.Stream("noise", len(first)))
		}, ErrDigest},
		{"nothing", func([]int, func(int, []byte) error) error { return nil }, nil},
		{"another chunk", func(_ []int, each func(int, []byte) error) error { return each(5, first) }, ErrFormat},
		{"a chunk that does not exist", func(_ []int, each func(int, []byte) error) error { return each(1<<30, first) }, ErrFormat},
		{"more than it was asked for", func(numbers []int, each func(int, []byte) error) error {
			for range 2 {
				for _, no := range numbers {
					c := u.index.Chunks[no]
					if err := each(no, u.new[c.Off:c.Off+int64(c.Len)]); err != nil {
						return err
					}
				}
			}
			return nil
		}, ErrFormat},
	} {
		t.Run(tt.name, func(t *testing.T) {
			disk := imagetest.NewDisk(int64(len(u.new)))
			cfg := u.config(t, disk)
			cfg.Pack = nil
			cfg.Fetch = liar{cfg.Fetch, tt.give}
			_, err := Apply(t.Context(), cfg)
			var chunk *image.ChunkError
			if !errors.As(err, &chunk) || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("Apply: %v, want %v", err, tt.want)
			}
		})
	}
}
