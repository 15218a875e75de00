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
	"github.com/hawser-iot/hawser/edge-agent/ota"
)

const otaUsage = `hawser-agent ota: the gateway's own firmware, and that of sub-devices it takes firmware for.

Usage:
  hawser-agent ota status   --config FILE [-o json]   what runs, and how far an update is
  hawser-agent ota history  --config FILE [--device PRODUCT/DEVICE] [-o json]   the last steps of updates
  hawser-agent ota consent  --config FILE [--device PRODUCT/DEVICE] [--refuse]  let the update begin that waits for it, or not
  hawser-agent ota rollback --config FILE             go back to the release before: end a trial, or try what ran before the confirmed one

They ask the running agent; status, history and consent work without one too. --device names a sub-device.
`

// otaOptions are what follows the command.
type otaOptions struct {
	cfg    agent.Config
	json   bool
	refuse bool
	device agent.Device // a sub-device; zero for the gateway
}

// firmware does the commands of `hawser-agent ota`.
func firmware(ctx context.Context, args []string, out, errOut io.Writer) error {
	if len(args) == 0 {
		fmt.Fprint(errOut, otaUsage)
		return wrongUse("name a command of ota")
	}
	if args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		fmt.Fprint(out, otaUsage)
		return nil
	}
	do, ok := map[string]func(context.Context, otaOptions, io.Writer) error{
		"status": otaStatus, "history": otaHistory,
		"consent": func(ctx context.Context, o otaOptions, _ io.Writer) error {
			return agent.OTAConsent(ctx, o.cfg, o.device, !o.refuse)
		},
		"rollback": func(ctx context.Context, o otaOptions, _ io.Writer) error { return agent.OTARollback(ctx, o.cfg) },
	}[args[0]]
	if !ok {
		fmt.Fprint(errOut, otaUsage)
		return wrongUse("no command %q of ota", args[0])
	}
	o, err := otaFlags(args[0], args[1:], errOut)
	if err != nil {
		return err
	}
	return do(ctx, o, out)
}

func otaFlags(name string, args []string, errOut io.Writer) (o otaOptions, err error) {
	fs := flag.NewFlagSet("hawser-agent ota "+name, flag.ContinueOnError)
	fs.SetOutput(errOut)
	path := fs.String("config", "", "the configuration `file` (YAML)")
	format := "text"
	if name == "status" || name == "history" {
		fs.StringVar(&format, "o", format, "output `format`: text or json")
	}
	device := ""
	if name == "history" || name == "consent" {
		fs.StringVar(&device, "device", "", "a sub-device: `PRODUCT/DEVICE`")
	}
	if name == "consent" {
		fs.BoolVar(&o.refuse, "refuse", false, "end the update instead")
	}
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return o, err
		}
		return o, usageError{err}
	}
	if format != "text" && format != "json" {
		return o, wrongUse("-o %s: want text or json", format)
	}
	if device != "" {
		var ok bool
		if o.device.Product, o.device.SN, ok = strings.Cut(device, "/"); !ok {
			return o, wrongUse("--device: want PRODUCT/DEVICE")
		}
	}
	o.json = format == "json"
	o.cfg, err = loadFile(*path, fs)
	return o, err
}

func printJSON(out io.Writer, v any) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func otaStatus(ctx context.Context, o otaOptions, out io.Writer) error {
	s, err := agent.OTAStatus(ctx, o.cfg)
	if err != nil {
		return err
	}
	if o.json {
		return printJSON(out, s)
	}
	if o.cfg.Firmware != nil {
		printStatus(out, s)
	}
	printSubdevices(out, s.Subdevices)
	return nil
}

// printSubdevices says what became of the firmware of sub-devices.
func printSubdevices(out io.Writer, list []ota.Subdevice) {
	for _, d := range list {
		fmt.Fprintf(out, "sub-device: %s/%s\n", d.Product, d.Device)
		for _, i := range d.Installed {
			fmt.Fprintf(out, "  installed:  %s %s, sequence %d\n", i.Module, i.Version, i.Sequence)
		}
		if u := d.Update; u != nil {
			fmt.Fprintf(out, "  update:     %s %s, %s %s %s\n", u.Module, u.Version, u.Phase, u.State, u.Class)
		}
		if d.Handing != "" {
			fmt.Fprintf(out, "  handed:     %s\n", d.Handing)
		}
		if l := d.Last; l != nil && d.Update == nil {
			fmt.Fprintf(out, "  last:       %s %s, %s %s, %s\n", l.Module, l.Version, l.State, l.Class, l.Time.Format("2006-01-02 15:04:05"))
		}
	}
}

func printStatus(out io.Writer, s ota.Status) {
	if b := s.Boot; b == nil {
		fmt.Fprintln(out, "slot:       not known, the agent does not run")
	} else {
		var words []string
		for word, is := range map[string]bool{"confirmed": b.Confirmed, "on trial": !b.Confirmed} {
			if is {
				words = append(words, word)
			}
		}
		if b.Armed {
			words = append(words, "the next start tries the other one")
		}
		fmt.Fprintf(out, "slot:       %s, %s\n", b.Slot, strings.Join(words, ", "))
	}
	if s.Root > 0 {
		fmt.Fprintf(out, "root:       version %d\n", s.Root)
	}
	for _, i := range s.Installed {
		fmt.Fprintf(out, "installed:  %s %s, sequence %d\n", i.Module, i.Version, i.Sequence)
	}
	printBefore(out, s)
	u := s.Update
	if u == nil {
		fmt.Fprintln(out, "update:     none")
		return
	}
	what := "update:    "
	if u.Rollback {
		what = "rollback:  "
	}
	fmt.Fprintf(out, "%s %s %s, %s", what, u.Module, u.Version, u.Phase)
	if u.Class != "" {
		fmt.Fprintf(out, " (%s)", u.Class)
	}
	if u.Rollback {
		fmt.Fprintln(out)
		return
	}
	fmt.Fprintf(out, "\ndeployment: %s, attempt %d, %d bytes downloaded\n", u.Deployment, u.Attempt, u.Downloaded)
}

// printBefore says what is in the other slot, for those who think of going back.
func printBefore(out io.Writer, s ota.Status) {
	for _, d := range s.Slots {
		if s.Boot == nil || d.Slot == s.Boot.Slot {
			continue
		}
		for _, i := range d.Installed {
			fmt.Fprintf(out, "before:     %s %s, sequence %d, in slot %s\n", i.Module, i.Version, i.Sequence, d.Slot)
		}
	}
}

func otaHistory(ctx context.Context, o otaOptions, out io.Writer) error {
	list, err := agent.OTAHistory(ctx, o.cfg, o.device)
	if err != nil {
		return err
	}
	if o.json {
		return printJSON(out, list)
	}
	for _, e := range list {
		fmt.Fprintf(out, "%s  %-10s %s %s", e.Time.Format("2006-01-02 15:04:05"), e.Phase, e.Module, e.Version)
		if e.Rollback {
			fmt.Fprint(out, "  rollback")
		}
		if e.Class != "" {
			fmt.Fprintf(out, "  %s %s", e.State, e.Class)
		}
		fmt.Fprintln(out)
	}
	return nil
}
