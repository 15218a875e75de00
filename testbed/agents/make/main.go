// Command make builds the agent for all targets, with SHA256SUMS beside them.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/hawser-iot/hawser/testbed/agents"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	out := flag.String("out", "bin/agents", "the `folder` for the programs")
	version := flag.String("version", "dev", "what the programs say of themselves")
	only := flag.String("targets", "", "`names` of targets, such as linux-arm-7,linux-386; all when empty")
	record := flag.Bool("record", false, "write "+agents.SizesFile)
	flag.Parse()
	if err := build(ctx, *out, *version, *only, *record, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// build makes the programs in the module whose root is the working folder.
func build(ctx context.Context, out, version, only string, record bool, w io.Writer) error {
	targets := agents.Targets
	if only != "" {
		targets = nil
		for name := range strings.SplitSeq(only, ",") {
			t, err := agents.Find(name)
			if err != nil {
				return err
			}
			targets = append(targets, t)
		}
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	sizes, err := agents.ReadSizes(agents.SizesFile)
	if err != nil {
		return err
	}
	now := agents.Sizes{}
	var sums bytes.Buffer
	for _, t := range targets {
		for _, variant := range agents.Variants {
			name := agents.FileName(t, variant)
			if err := agents.Build(ctx, ".", t, variant, version, filepath.Join(out, name)); err != nil {
				return err
			}
			b, err := os.ReadFile(filepath.Join(out, name))
			if err != nil {
				return err
			}
			now[name] = int64(len(b))
			fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(b), name)
			fmt.Fprintf(w, "%-44s %9d %6.2f MiB %+7.1f KiB\n", name, len(b), float64(len(b))/(1<<20), float64(now[name]-sizes[name])/1024)
		}
	}
	if err := os.WriteFile(filepath.Join(out, "SHA256SUMS"), sums.Bytes(), 0o644); err != nil || !record {
		return err
	}
	return write(now, sizes)
}

// write records the sizes of now, and those of before where a target was not built.
func write(now, before agents.Sizes) error {
	for name, n := range now {
		before[name] = n
	}
	var b bytes.Buffer
	if err := before.Write(&b); err != nil {
		return err
	}
	return os.WriteFile(agents.SizesFile, b.Bytes(), 0o644)
}
