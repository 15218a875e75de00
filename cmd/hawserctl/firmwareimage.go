package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/firmware/delta"
	"github.com/hawser-iot/hawser/firmware/image"
)

func newFirmwareIndex(c *cli) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "index IMAGE",
		Short: "Cut an image into chunks and write their index",
		Long: `Cut an image into chunks and write their index, which a signed manifest names and
every chunk of an update is checked against. The same image has always the same index.`,
		Example: `  hawserctl firmware index rootfs.squashfs
  hawserctl firmware index rootfs.squashfs --out rootfs.index -o json`,
		Args: exactArgs("IMAGE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			out = cmp.Or(out, args[0]+".index")
			bar := c.newShare("index")
			built, err := readImage(cmd.Context(), args[0], bar)
			bar.end()
			if err != nil {
				return err
			}
			b, err := built.Index.Marshal()
			if err != nil {
				return err
			}
			if err := c.create(out, func(w io.Writer) error {
				_, err := w.Write(b)
				return err
			}); err != nil {
				return err
			}
			view, err := viewIndex(b)
			if err != nil {
				return err
			}
			view.Image = built.Image.String()
			return c.showView(view)
		},
	}
	outFlag(cmd, &out, "IMAGE.index")
	return cmd
}

func newFirmwarePack(c *cli) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "pack IMAGE",
		Short: "Write an image as a full pack, of which devices fetch any chunk",
		Long: `Write an image as a full pack: each chunk compressed alone, so that a device which has
part of the image, or whose delta failed, fetches only what it needs. A chunk that
comes more than once is there once.`,
		Example: "  hawserctl firmware pack rootfs.squashfs --out rootfs.pack",
		Args:    exactArgs("IMAGE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			out = cmp.Or(out, args[0]+".pack")
			f, size, err := openFile(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			bar := c.newShare("pack")
			defer bar.end()
			var p *image.Packed
			err = c.create(out, func(w io.Writer) (err error) {
				p, err = image.WritePack(cmd.Context(), w, bar.reader(f, size))
				return err
			})
			bar.end()
			if err != nil {
				return err
			}
			index, err := p.Index.Digest()
			if err != nil {
				return err
			}
			return c.showView(&packView{Kind: "full pack", Image: p.Image.String(), Index: index.String(), ImageSize: p.Index.Size,
				Chunks: len(p.Index.Chunks), Unique: p.Unique, Bytes: p.Size})
		},
	}
	outFlag(cmd, &out, "IMAGE.pack")
	return cmd
}

func newFirmwareDiff(c *cli) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "diff OLD NEW",
		Short: "Write the delta pack that makes one image of another",
		Long: `Write the delta pack that makes the image NEW of OLD. A device applies it with 4 MiB
of memory, and fetches what does not fit from the full pack.

Deltas are small where content is not compressed: build squashfs and erofs images with
blocks as they are (mksquashfs -noI -noD -noF -noX) where the flash has room; packs are
compressed anyway. It takes about a second for each MiB that has changed.`,
		Example: "  hawserctl firmware diff rootfs-3.0.squashfs rootfs-3.1.squashfs --out 3.0-3.1.delta",
		Args:    exactArgs("OLD", "NEW"),
		RunE: func(cmd *cobra.Command, args []string) error {
			out = cmp.Or(out, args[1]+".delta")
			return c.diff(cmd.Context(), args[0], args[1], out)
		},
	}
	outFlag(cmd, &out, "NEW.delta")
	return cmd
}

func (c *cli) diff(ctx context.Context, old, new, out string) error {
	bar := c.newShare("diff")
	defer bar.end()
	var images [2]delta.Image
	for i, name := range []string{old, new} {
		f, _, err := openFile(name)
		if err != nil {
			return err
		}
		defer f.Close()
		built, err := readImage(ctx, name, bar)
		if err != nil {
			return err
		}
		images[i] = delta.Image{ReaderAt: f, Built: *built}
	}
	var stats *delta.Stats
	err := c.create(out, func(w io.Writer) (err error) {
		stats, err = delta.Diff(ctx, w, images[0], images[1], delta.DiffConfig{Progress: func(done, total int) {
			bar.show(int64(done), int64(total), "chunks")
		}})
		return err
	})
	bar.end()
	if err != nil {
		return err
	}
	index, err := images[1].Index.Digest()
	if err != nil {
		return err
	}
	return c.showView(&deltaView{Kind: "delta pack", Base: images[0].Image.String(), BaseSize: images[0].Index.Size, Index: index.String(),
		ImageSize: images[1].Index.Size, Bytes: stats.Total, Made: madeOf(stats)})
}

func outFlag(cmd *cobra.Command, out *string, usual string) {
	cmd.Flags().StringVar(out, "out", "", "file to write; must not be there; default is "+usual)
}

// openFile opens a file to read it, and tells how long it is.
func openFile(name string) (*os.File, int64, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, usageError{err}
	}
	size, err := f.Seek(0, io.SeekEnd) // a block device tells its size so
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		_ = f.Close() // it is of no use
		return nil, 0, usageError{fmt.Errorf("%s: %w", name, err)}
	}
	return f, size, nil
}

// readImage cuts the image in a file.
func readImage(ctx context.Context, name string, bar *shareBar) (*image.Built, error) {
	f, size, err := openFile(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	built, err := image.Build(ctx, bar.reader(f, size), nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return built, nil
}

// create writes a new file; when that does not end well it is gone again.
func (c *cli) create(name string, write func(w io.Writer) error) (err error) {
	if c.dryRun {
		counted := &counter{}
		if err := write(counted); err != nil {
			return err
		}
		fmt.Fprintf(c.errOut, "would write %s (%d bytes)\n", name, counted.n)
		return nil
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return usageError{err}
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			_ = os.Remove(name) // half of it is of no use
		}
	}()
	w := bufio.NewWriterSize(f, 1<<20)
	if err := write(w); err != nil {
		return err
	}
	return errors.Join(w.Flush(), f.Sync())
}

// counter counts what is written.
type counter struct{ n int64 }

func (c *counter) Write(b []byte) (int, error) {
	c.n += int64(len(b))
	return len(b), nil
}

// shareBar shows how much of something is done.
type shareBar struct {
	*progress
	name string
	last int64 // permille
}

func (c *cli) newShare(name string) *shareBar { return &shareBar{c.newProgress(), name, -1} }

func (b *shareBar) show(done, total int64, what string) {
	permille := done * 1000 / max(total, 1)
	if permille == b.last {
		return
	}
	b.last = permille
	full := int(permille) * barWidth / 1000
	counts := fmt.Sprintf("%s/%s %s", grouped(done), grouped(total), what)
	b.line(b.name, fmt.Sprintf("%s%s %3d %% %s", strings.Repeat("█", full), strings.Repeat("░", barWidth-full), permille/10, counts), counts)
}

// reader shows how much of r, which has size bytes, has been read.
func (b *shareBar) reader(r io.Reader, size int64) io.Reader { return &shownReader{r, b, 0, size} }

type shownReader struct {
	io.Reader
	bar        *shareBar
	done, size int64
}

func (r *shownReader) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	r.done += int64(n)
	r.bar.show(r.done>>10, r.size>>10, "KiB")
	return n, err
}

// showView prints what a file is.
func (c *cli) showView(v view) error {
	if c.output != asTable && c.output != asWide || len(c.columns) > 0 {
		return c.printValue(v)
	}
	return writeTable(c.out, v.rows(), 0)
}
