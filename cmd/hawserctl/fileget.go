package main

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/cloud/apiclient"
	"github.com/hawser-iot/hawser/cloud/apitype"
)

func newFileGet(c *cli) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "get PRODUCT DEVICE FILEID",
		Short: "Download a file that a device has sent",
		Long: `Download a file that a device has sent. A download that breaks off is gone on
with, and what came is held to the checksum that the device named.`,
		Example: `  hawserctl file get 70ly1tvowt696r15 cellar-1 412233445566778899 --file cam.log
  hawserctl file get 70ly1tvowt696r15 cellar-1 412233445566778899 | less`,
		Args: exactArgs("PRODUCT", "DEVICE", "FILEID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.getFile(cmd.Context(), args, file)
		},
	}
	cmd.Flags().StringVar(&file, "file", "-", "where to; - is standard output")
	return cmd
}

// getFile writes a file of a device to one that must be new, or to standard output.
func (c *cli) getFile(ctx context.Context, args []string, file string) (err error) {
	b, err := c.do(ctx, func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
		return client.GetFile(ctx, args[0], args[1], args[2])
	})
	if err != nil {
		return err
	}
	var info apitype.File
	if err := json.Unmarshal(b, &info); err != nil {
		return fmt.Errorf("read the hub's answer: %w", err)
	}
	d := &fetch{cli: c, args: args, size: info.Size, out: c.out}
	if file != "-" {
		f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			return usageError{err}
		}
		defer func() {
			if err = errors.Join(err, f.Close()); err != nil {
				_ = os.Remove(file) // half of it is of no use
			}
		}()
		d.out, d.bar = f, c.newShare(info.Name)
		defer d.bar.end()
	}
	d.sum, d.want = sumOf(&info)
	return d.run(ctx)
}

// sumOf is the checksum that the device named.
func sumOf(f *apitype.File) (hash.Hash, []byte) {
	h, text := hash.Hash(sha256.New()), f.Sha256
	if text == "" {
		h, text = md5.New(), f.Md5
	}
	want, _ := hex.DecodeString(text)
	return h, want
}

// fetch is a download that goes on where it broke off.
type fetch struct {
	*cli
	args []string
	out  io.Writer
	bar  *shareBar // nil on standard output
	sum  hash.Hash
	want []byte
	size int64
	done int64
}

// fetchTries is how often a download that brings nothing on is tried.
const fetchTries = 5

func (d *fetch) run(ctx context.Context) error {
	for failed := 0; ; {
		before := d.done
		err := d.once(ctx)
		if err == nil {
			break
		}
		var refused *apiError
		if failed++; d.done > before {
			failed = 1
		}
		if failed == fetchTries || ctx.Err() != nil || errors.As(err, &refused) || errors.Is(err, errOut) || errors.Is(err, errDryRun) {
			return fmt.Errorf("download: %w", err)
		}
		select {
		case <-time.After(time.Duration(failed) * time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if !bytes.Equal(d.sum.Sum(nil), d.want) {
		return errors.New("download: what came is not what the device sent: the checksum differs")
	}
	return nil
}

// errOut is a failure of this side.
var errOut = errors.New("write")

func (d *fetch) once(ctx context.Context) error {
	var p apitype.GetFileContentParams
	if d.done > 0 {
		rest := fmt.Sprintf("bytes=%d-", d.done)
		p.Range = &rest
	}
	if d.done == d.size && d.size > 0 {
		return nil
	}
	resp, err := d.open(ctx, func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
		return client.GetFileContent(ctx, d.args[0], d.args[1], d.args[2], &p)
	})
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // it was only read
	if d.done > 0 && resp.StatusCode != http.StatusPartialContent {
		return fmt.Errorf("%w: the hub does not answer ranges", errOut)
	}
	if _, err := io.Copy(d, resp.Body); err != nil {
		return err
	}
	if d.done != d.size {
		return io.ErrUnexpectedEOF
	}
	return nil
}

// Write takes what came.
func (d *fetch) Write(b []byte) (int, error) {
	n, err := d.out.Write(b)
	d.sum.Write(b[:n])
	if d.done += int64(n); d.bar != nil {
		d.bar.show(d.done>>10, d.size>>10, "KiB")
	}
	if err != nil {
		return n, fmt.Errorf("%w: %w", errOut, err)
	}
	return n, nil
}

func newFileLink(c *cli) *cobra.Command {
	var life time.Duration
	cmd := &cobra.Command{
		Use:     "link PRODUCT DEVICE FILEID",
		Short:   "Make a URL to download a file by, without a key",
		Example: "  hawserctl file link 70ly1tvowt696r15 cellar-1 412233445566778899 --for 24h",
		Args:    exactArgs("PRODUCT", "DEVICE", "FILEID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			seconds := int64(life / time.Second)
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.GetFileLink(ctx, args[0], args[1], args[2], &apitype.GetFileLinkParams{Seconds: &seconds})
			})
		},
	}
	cmd.Flags().DurationVar(&life, "for", time.Hour, "how long it holds, at most 720h")
	return cmd
}
