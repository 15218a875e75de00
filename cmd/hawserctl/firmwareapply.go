package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/firmware/delta"
	"github.com/hawser-iot/hawser/firmware/image"
	"github.com/hawser-iot/hawser/firmware/image/httpsource"
)

// applyOptions are the flags of firmware apply.
type applyOptions struct {
	index, pack string
	resume      bool
	budget      int64
	whenSpent   string
}

func newFirmwareApply(c *cli) *cobra.Command {
	var o applyOptions
	cmd := &cobra.Command{
		Use:   "apply OLD DELTA NEW",
		Short: "Make a new image of an old one and a delta pack, as a device does",
		Long: `Make the image NEW of the image OLD and a delta pack, as a device does. Every chunk is
checked against the index before it is written; one that does not fit is fetched from
the full pack (--pack). DELTA and --pack are files or http and https URLs; - as DELTA is
none, and the image comes from the full pack alone.

With --resume NEW may be there: what of it is right already stays. A file that was not
completed goes on so.`,
		Example: `  hawserctl firmware apply old.squashfs new.delta new.squashfs --index new.squashfs.index
  hawserctl firmware apply /dev/mmcblk0p2 https://hub.example/new.delta /dev/mmcblk0p3 --index new.index \
    --pack https://hub.example/new.pack --budget 5000000 --resume`,
		Args: exactArgs("OLD", "DELTA", "NEW"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.apply(cmd.Context(), args[0], args[1], args[2], o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.index, "index", "", "file with the chunk index of the new image")
	f.StringVar(&o.pack, "pack", "", "full pack of the new image, for chunks that the delta does not make")
	f.BoolVar(&o.resume, "resume", false, "NEW may be there, and is completed")
	f.Int64Var(&o.budget, "budget", 0, "most bytes to read of the packs; 0 is no limit")
	f.StringVar(&o.whenSpent, "when-spent", "fail", "what to do when the budget is spent: fail or continue")
	return cmd
}

func (c *cli) apply(ctx context.Context, old, pack, out string, o applyOptions) error {
	cfg, err := o.config(ctx, pack)
	if err != nil {
		return err
	}
	base, _, err := openFile(old)
	if err != nil {
		return err
	}
	defer base.Close()
	cfg.Base = base
	if c.dryRun {
		fmt.Fprintf(c.errOut, "would write %s (%d bytes)\n", out, cfg.Index.Size)
		return nil
	}
	target, err := o.target(out)
	if err != nil {
		return err
	}
	cfg.Target = target
	bar := c.newShare("apply")
	cfg.Progress = func(done, total int64) { bar.show(done>>10, total>>10, "KiB") }
	cfg.Bad = func(no int, err error) {
		bar.end()
		fmt.Fprintf(c.errOut, "chunk %d: %v\n", no, err)
	}
	r, err := delta.Apply(ctx, *cfg)
	bar.end()
	if err == nil {
		err = cutTo(target, cfg.Index.Size)
	}
	if err = errors.Join(err, target.Close()); err != nil {
		if r.Written > 0 {
			return fmt.Errorf("%w; %s is not complete, --resume goes on where it is", err, out)
		}
		if !o.resume {
			_ = os.Remove(out) // it is new and empty
		}
		return err
	}
	return c.printValue(appliedView{cfg.Index.Size, r.Made[delta.Copy], r.Made[delta.Patch], r.Made[delta.Full], r.Made[delta.Zeros],
		r.Fetched, r.Resumed, r.Net, r.Written})
}

// appliedView is what was done.
type appliedView struct {
	ImageSize int64 `json:"imageSize"`
	Copied    int   `json:"copied"`
	Patched   int   `json:"patched"`
	Full      int   `json:"full"`
	Zeros     int   `json:"zeros"`
	Fetched   int   `json:"fetched"`
	Resumed   int   `json:"resumed"`
	Read      int64 `json:"bytesRead"`
	Written   int64 `json:"bytesWritten"`
}

// config opens what the flags name.
func (o *applyOptions) config(ctx context.Context, pack string) (*delta.Config, error) {
	if o.index == "" {
		return nil, usageError{errors.New("--index is missing: hawserctl firmware index makes it of the image")}
	}
	if pack == "-" && o.pack == "" {
		return nil, usageError{errors.New("without a delta the image comes from the full pack: name it with --pack")}
	}
	cfg := &delta.Config{Budget: delta.Budget{Bytes: o.budget}}
	switch o.whenSpent {
	case "fail":
	case "continue":
		cfg.Budget.Spent = delta.Continue
	default:
		return nil, usageError{fmt.Errorf("--when-spent %q: must be fail or continue", o.whenSpent)}
	}
	b, err := os.ReadFile(o.index)
	if err != nil {
		return nil, usageError{err}
	}
	if cfg.Index, err = image.ParseIndex(b); err != nil {
		return nil, fmt.Errorf("%s: %w", o.index, err)
	}
	if pack != "-" {
		src, err := openSource(ctx, pack)
		if err != nil {
			return nil, err
		}
		if cfg.Pack, err = delta.Open(ctx, src, cfg.Index); err != nil {
			return nil, fmt.Errorf("%s: %w", pack, err)
		}
	}
	if o.pack == "" {
		return cfg, nil
	}
	src, err := openSource(ctx, o.pack)
	if err != nil {
		return nil, err
	}
	full, err := image.OpenPack(ctx, src, cfg.Index)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.pack, err)
	}
	cfg.Fetch = full
	return cfg, nil
}

// target opens what is written: a new file, or with --resume one that is there.
func (o *applyOptions) target(name string) (*os.File, error) {
	flags := os.O_RDWR | os.O_CREATE
	if !o.resume {
		flags |= os.O_EXCL
	}
	f, err := os.OpenFile(name, flags, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return nil, usageError{fmt.Errorf("%w: --resume completes it", err)}
	}
	if err != nil {
		return nil, usageError{err}
	}
	return f, nil
}

// cutTo gives a file its length; a device keeps its own.
func cutTo(f *os.File, size int64) error {
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() == size {
		return err
	}
	return f.Truncate(size)
}

// headersWithin is how long a server may think about a range.
const headersWithin = 30 * time.Second

// openSource opens a file or a URL. Files stay open: the process ends soon.
func openSource(ctx context.Context, name string) (image.Source, error) {
	if !strings.HasPrefix(name, "http://") && !strings.HasPrefix(name, "https://") {
		f, size, err := openFile(name)
		if err != nil {
			return nil, err
		}
		return image.FileSource(f, size), nil
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = headersWithin
	return httpsource.Open(ctx, &http.Client{Transport: transport}, name)
}
