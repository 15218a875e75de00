package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/cloud/apiclient"
	"github.com/hawser-iot/hawser/cloud/apitype"
)

const octets = "application/octet-stream"

func newFirmwarePush(c *cli) *cobra.Command {
	var images []string
	var description string
	var wait bool
	cmd := &cobra.Command{
		Use:   "push PRODUCT MANIFEST",
		Short: "Add a signed release: its manifest, and the images that the hub has not",
		Long: `Add a signed release: its manifest, and the images that the hub has not.

The hub holds the manifest to the product's newest root document (firmware trust), and
each image to the manifest. An image that it has already, from another release or from
a push that was cut off, is not sent again. When all is there it makes what devices
download: --wait=false does not wait for that.`,
		Example: `  hawserctl firmware push 70ly1tvowt696r15 thermo.bin.suit --image default=thermo.bin
  hawserctl firmware push 70ly1tvowt696r15 gateway.suit --image app=app.img --image radio=radio.bin`,
		Args: exactArgs("PRODUCT", "MANIFEST"),
		RunE: func(cmd *cobra.Command, args []string) error {
			files, err := parseImages(images)
			if err != nil {
				return usageError{err}
			}
			envelope, err := c.readFile(args[1])
			if err != nil {
				return err
			}
			p := &push{cli: c, product: args[0], files: files, bar: c.newProgress()}
			defer p.bar.end()
			return p.run(cmd.Context(), envelope, description, wait)
		},
	}
	cmd.Flags().StringArrayVar(&images, "image", nil, "MODULE=FILE: the image of a component; a file alone is that of default; may be repeated")
	cmd.Flags().StringVar(&description, "description", "", "description")
	cmd.Flags().BoolVar(&wait, "wait", true, "wait until devices can have it")
	return cmd
}

// parseImages reads MODULE=FILE.
func parseImages(given []string) (map[string]string, error) {
	files := map[string]string{}
	for _, text := range given {
		module, file, ok := strings.Cut(text, "=")
		if !ok {
			module, file = "default", text
		}
		if files[module] != "" || module == "" || file == "" {
			return nil, fmt.Errorf("--image %q: want MODULE=FILE, each module once", text)
		}
		files[module] = file
	}
	return files, nil
}

// push is a release on its way to the hub.
type push struct {
	*cli
	product string
	files   map[string]string // by module
	bar     *progress
}

func (p *push) run(ctx context.Context, envelope []byte, description string, wait bool) error {
	b, r, err := p.release(ctx, func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
		return client.AddReleaseWithBody(ctx, p.product, &apitype.AddReleaseParams{Description: optional(description)}, octets, bytes.NewReader(envelope))
	})
	if err != nil {
		return err
	}
	for module := range p.files {
		if !slices.ContainsFunc(r.Components, func(c apitype.ReleaseComponent) bool { return c.Module == module }) {
			return usageError{fmt.Errorf("--image %s: the manifest has no such component", module)}
		}
	}
	missing := r.Missing
	for _, module := range missing {
		if p.files[module] == "" {
			return usageError{fmt.Errorf("the hub needs the image of %s: --image %s=FILE", module, module)}
		}
		if b, r, err = p.send(ctx, r.ReleaseID, module); err != nil {
			return err
		}
	}
	for module := range p.files {
		if !slices.Contains(missing, module) {
			fmt.Fprintf(p.errOut, "the hub has the image of %s already\n", module)
		}
	}
	if wait {
		if b, r, err = p.wait(ctx, b, r); err != nil {
			return err
		}
	}
	p.bar.end()
	if err := p.printOne(b); err != nil {
		return err
	}
	if r.State == apitype.ReleaseStateFailed {
		return errors.New("the hub cannot make of the release what devices download; its files say why")
	}
	return nil
}

// release makes a request that answers the release.
func (p *push) release(ctx context.Context, call request) (b json.RawMessage, r apitype.Release, err error) {
	if b, err = p.do(ctx, call); err != nil {
		return nil, r, err
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, r, fmt.Errorf("read the hub's answer: %w", err)
	}
	return b, r, nil
}

// send sends the image of a module.
func (p *push) send(ctx context.Context, release, module string) (json.RawMessage, apitype.Release, error) {
	f, err := os.Open(p.files[module])
	if err != nil {
		return nil, apitype.Release{}, usageError{err}
	}
	defer func() { _ = f.Close() }() // it was only read
	info, err := f.Stat()
	if err != nil {
		return nil, apitype.Release{}, usageError{err}
	}
	bar := p.newShare("image " + module)
	defer bar.end()
	return p.release(ctx, func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
		return client.PutImageWithBody(ctx, p.product, release, module, octets, bar.reader(f, info.Size()), func(_ context.Context, r *http.Request) error {
			r.ContentLength = info.Size()
			return nil
		})
	})
}

// wait waits until the hub has made what devices download.
func (p *push) wait(ctx context.Context, b json.RawMessage, r apitype.Release) (json.RawMessage, apitype.Release, error) {
	for r.State == apitype.ReleaseStateMaking {
		p.bar.line("release "+r.ReleaseID, "the hub makes what devices download…", "the hub makes what devices download")
		select {
		case <-ctx.Done():
			return b, r, ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
		var err error
		b, r, err = p.release(ctx, func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
			return client.GetRelease(ctx, p.product, r.ReleaseID)
		})
		if err != nil {
			return b, r, err
		}
	}
	return b, r, nil
}

func newFirmwareReleases(c *cli) *cobra.Command {
	var ch choice
	cmd := &cobra.Command{
		Use:     "releases PRODUCT",
		Short:   "List the signed releases of a product, newest first",
		Example: "  hawserctl firmware releases 70ly1tvowt696r15\n  hawserctl firmware releases 70ly1tvowt696r15 --filter ready:no --sort -sequence",
		Args:    exactArgs("PRODUCT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			filter, sort := ch.parts()
			items, err := c.all(cmd.Context(), 0, func(ctx context.Context, client *apiclient.Client, limit *int, cursor *string) (*http.Response, error) {
				return client.ListReleases(ctx, args[0], &apitype.ListReleasesParams{Filter: filter, Sort: sort, Limit: limit, Cursor: cursor})
			})
			if err != nil {
				return err
			}
			return c.printList(items, "releaseID", "module", "version", "sequence", "state", "missing", "createdAt", "description")
		},
	}
	ch.add(cmd, "version, module, description, ready (yes, no), sequence, root", "version, module, ready, sequence, root")
	return cmd
}

func newFirmwareRelease(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "release PRODUCT RELEASE",
		Short: "Show the files of a signed release: images, indexes, packs and deltas",
		Long: `Show the files of a signed release: images, indexes, packs and deltas. With -o json
all that is known of the release.`,
		Example: "  hawserctl firmware release 70ly1tvowt696r15 412233445566778899",
		Args:    exactArgs("PRODUCT", "RELEASE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := c.do(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return client.GetRelease(ctx, args[0], args[1])
			})
			if err != nil {
				return err
			}
			if c.raw() {
				return c.printRaw(b)
			}
			var r struct {
				Files []json.RawMessage `json:"files"`
			}
			if err := json.Unmarshal(b, &r); err != nil {
				return fmt.Errorf("read the hub's answer: %w", err)
			}
			return c.printList(r.Files, "component", "kind", "state", "size", "base", "reason", "createdAt")
		},
	}
}
