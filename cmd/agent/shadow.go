package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/hawser-iot/hawser/edge-agent/agent"
)

const shadowUsage = `hawser-agent shadow: the shadows that the running agent keeps.

Usage:
  hawser-agent shadow --config FILE [--device PRODUCT/DEVICE]
  hawser-agent shadow set --config FILE [--device PRODUCT/DEVICE] [--reported JSON] [--desired JSON]

Without --device it is the gateway's own. The objects hold the keys that change; null deletes one.
`

// shadow prints a shadow, after it was changed.
func shadow(ctx context.Context, args []string, out, errOut io.Writer) error {
	set := len(args) > 0 && args[0] == "set"
	if set {
		args = args[1:]
	}
	fs := flag.NewFlagSet("hawser-agent shadow", flag.ContinueOnError)
	fs.SetOutput(errOut)
	fs.Usage = func() { fmt.Fprint(errOut, shadowUsage) }
	path := fs.String("config", "", "the configuration `file` (YAML)")
	device := fs.String("device", "", "`PRODUCT/DEVICE`")
	reported := fs.String("reported", "", "keys that are reported, `JSON`")
	desired := fs.String("desired", "", "keys that are desired, `JSON`")
	if err := parse(fs, args); err != nil {
		return err
	}
	cfg, err := loadFile(*path, fs)
	if err != nil {
		return err
	}
	change := agent.ShadowChange{Desired: json.RawMessage(*desired), Reported: json.RawMessage(*reported)}
	if *device != "" {
		var ok bool
		if change.Device.Product, change.Device.SN, ok = strings.Cut(*device, "/"); !ok {
			return wrongUse("--device: want PRODUCT/DEVICE")
		}
	}
	for name, b := range map[string]json.RawMessage{"--desired": change.Desired, "--reported": change.Reported} {
		if len(b) > 0 && (!set || !json.Valid(b)) {
			return wrongUse("%s: want JSON, and shadow set", name)
		}
	}
	var doc json.RawMessage
	if set {
		doc, err = agent.UpdateShadow(ctx, cfg, change)
	} else {
		doc, err = agent.Shadow(ctx, cfg, change.Device)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s\n", doc)
	return nil
}

// parse reads flags; what is wrong with them the caller can put right.
func parse(fs *flag.FlagSet, args []string) error {
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return usageError{err}
	}
	return nil
}
