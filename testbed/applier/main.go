// Command applier makes a new image of an old one and a delta pack, and nothing else: it is what the memory of an update is measured
// with, and what shows that every architecture makes the same bytes.
//
//	applier OLD INDEX DELTA FULL NEW
//
// FULL may be "-" for none. A chunk that the delta pack does not make is named on standard error and taken from FULL.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/hawser-iot/hawser/firmware/delta"
	"github.com/hawser-iot/hawser/firmware/image"
)

func main() {
	// What is not needed is given back at once: by default the collector waits for 4 MiB of it.
	runtime.MemProfileRate = 0
	debug.SetGCPercent(10)
	if len(os.Args) != 6 {
		fmt.Fprintln(os.Stderr, "usage: applier OLD INDEX DELTA FULL NEW")
		os.Exit(2)
	}
	if err := apply(context.Background(), os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5]); err != nil {
		fmt.Fprintln(os.Stderr, "applier:", err)
		os.Exit(1)
	}
}

func apply(ctx context.Context, old, index, pack, full, out string) (err error) {
	b, err := os.ReadFile(index)
	if err != nil {
		return err
	}
	cfg := delta.Config{Bad: func(no int, err error) { fmt.Fprintln(os.Stderr, "bad chunk", no, err) }}
	if cfg.Index, err = image.ParseIndex(b); err != nil {
		return err
	}
	base, err := os.Open(old)
	if err != nil {
		return err
	}
	defer base.Close()
	cfg.Base = base
	src, err := open(pack)
	if err != nil {
		return err
	}
	if cfg.Pack, err = delta.Open(ctx, src, cfg.Index); err != nil {
		return err
	}
	if full != "-" {
		if src, err = open(full); err != nil {
			return err
		}
		if cfg.Fetch, err = image.OpenPack(ctx, src, cfg.Index); err != nil {
			return err
		}
	}
	f, err := os.OpenFile(out, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	cfg.Target = f
	_, err = delta.Apply(ctx, cfg)
	return errors.Join(err, f.Close())
}

// open leaves the file open: the process ends soon.
func open(name string) (image.Source, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return image.FileSource(f, info.Size()), nil
}
