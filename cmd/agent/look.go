package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/edge-agent/agent"
	"github.com/hawser-iot/hawser/edge-agent/doctor"
	"github.com/hawser-iot/hawser/edge-agent/journal"
)

// errSick is what doctor ends with when a check has failed.
var errSick = errors.New("something keeps the gateway from its work: see above what to do")

// lookFlags are those of the commands that look at an agent; more adds the command's own.
func lookFlags(name string, args []string, errOut io.Writer, more func(*flag.FlagSet)) (cfg agent.Config, asJSON bool, err error) {
	set := flag.NewFlagSet("hawser-agent "+name, flag.ContinueOnError)
	set.SetOutput(errOut)
	path := set.String("config", "", "the configuration `file` (YAML)")
	format := set.String("o", "text", "output `format`: text or json")
	if more != nil {
		more(set)
	}
	if err := set.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return cfg, false, err
		}
		return cfg, false, usageError{err}
	}
	if *format != "text" && *format != "json" {
		return cfg, false, wrongUse("-o %s: want text or json", *format)
	}
	cfg, err = loadFile(*path, set)
	return cfg, *format == "json", err
}

// status prints what the running agent says of itself.
func status(ctx context.Context, args []string, out, errOut io.Writer) error {
	cfg, asJSON, err := lookFlags("status", args, errOut, nil)
	if err != nil {
		return err
	}
	s, err := agent.AskStatus(ctx, cfg)
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(out, s)
	}
	printAgent(out, s)
	return nil
}

func printAgent(out io.Writer, s agent.Status) {
	fmt.Fprintf(out, "agent:      %s %s, process %d, up %v\n", s.Version, s.Variant, s.PID, s.Time.Sub(s.Started).Round(time.Second))
	fmt.Fprintf(out, "device:     %s/%s at %s\n", s.Product, s.Device, s.Hub)
	l := s.Link
	switch {
	case l.Connected && l.Since != nil:
		fmt.Fprintf(out, "link:       connected for %v, %d logins\n", s.Time.Sub(*l.Since).Round(time.Second), l.Logins)
	default:
		fmt.Fprintf(out, "link:       not connected, %d logins\n", l.Logins)
	}
	if l.Failure != "" {
		fmt.Fprintf(out, "            last failure %v ago: %s\n", s.Time.Sub(*l.FailedAt).Round(time.Second), l.Failure)
	}
	fmt.Fprintf(out, "messages:   %d sent, %d in flight, %d received, %d dropped\n", l.Sent, l.InFlight, l.Received, l.Dropped)
	for _, b := range s.Streams {
		fmt.Fprintf(out, "buffer:     %s: %d waiting, %d bytes; %d accepted, %d carried, %d dropped, %d refused, %d failed\n",
			b.Name, b.Waiting, b.Bytes, b.Accepted, b.Carried, b.Dropped, b.Refused, b.Failed)
	}
	if s.Variant == "gateway" {
		fmt.Fprintf(out, "subdevices: %d connected of %d\n", s.Subdevices.Connected, s.Subdevices.Configured)
	}
	if f := s.Files; f != nil {
		fmt.Fprintf(out, "files:      %d sent, %d waiting, %d failed, %.1f MiB since the start\n", f.Files, f.Waiting, f.Failed, mib(f.Bytes))
		if f.Sending != "" {
			fmt.Fprintf(out, "            %s: %.1f of %.1f MiB, %.0f KiB/s\n", f.Sending, mib(f.Done), mib(f.Total), float64(f.Rate)/1024)
		}
	}
	fmt.Fprintf(out, "memory:     %.1f MiB resident, %.1f at most\n", mib(s.Memory.Resident), mib(s.Memory.Peak))
	if s.Firmware != nil {
		printStatus(out, *s.Firmware)
	}
	printSubdevices(out, s.SubdeviceFirmware)
	if s.NoFirmware != "" {
		fmt.Fprintf(out, "firmware:   none is taken: %s\n", s.NoFirmware)
	}
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

// logs prints the last lines of the running agent's log.
func logs(ctx context.Context, args []string, out, errOut io.Writer) error {
	var last int
	var follow bool
	cfg, asJSON, err := lookFlags("logs", args, errOut, func(set *flag.FlagSet) {
		set.IntVar(&last, "n", 100, "so many `lines` at most")
		set.BoolVar(&follow, "f", false, "go on with those that come, until it is interrupted")
	})
	switch {
	case err != nil:
		return err
	case last < 0 || last > agent.MaxLogLines:
		return wrongUse("-n %d: want 0 to %d", last, agent.MaxLogLines)
	}
	return agent.Logs(ctx, cfg, last, follow, func(l journal.Line) error {
		if asJSON {
			return printJSON(out, l)
		}
		_, err := fmt.Fprintln(out, l.Text)
		return err
	})
}

// examine prints what keeps the gateway from its work.
func examine(ctx context.Context, args []string, out, errOut io.Writer) error {
	cfg, asJSON, err := lookFlags("doctor", args, errOut, nil)
	if err != nil {
		return err
	}
	list, err := agent.Examine(ctx, cfg)
	if err != nil {
		return err
	}
	if asJSON {
		err = printJSON(out, list)
	} else {
		printFindings(out, list)
	}
	if err == nil && doctor.Worst(list) == doctor.Fail {
		err = errSick
	}
	return err
}

func printFindings(out io.Writer, list []doctor.Finding) {
	for _, f := range list {
		fmt.Fprintf(out, "%-5s %-6s %s\n", f.State, f.Check, f.Detail)
		if f.Do != "" {
			fmt.Fprintf(out, "      %-6s → %s\n", "", f.Do)
		}
	}
}

const configUsage = `hawser-agent config: the agent's configuration.

Usage:
  hawser-agent config check --config FILE   read the file and say whether it is right
  hawser-agent config show  --config FILE   print it as it is in force, with defaults and without secrets
  hawser-agent config apply --config FILE --new FILE [--within 2m]
                                            put another in its place; one with which the agent does not reach the hub in time is taken back
`

// configured does the commands of hawser-agent config.
func configured(args []string, out, errOut io.Writer) error {
	if len(args) == 0 {
		fmt.Fprint(errOut, configUsage)
		return wrongUse("name a command of config")
	}
	switch args[0] {
	case "check":
		return checkConfig(args[1:], out, errOut)
	case "apply":
		return applyConfig(context.Background(), args[1:], out, errOut)
	case "show":
		cfg, err := load("config show", args[1:], errOut)
		if err != nil {
			return err
		}
		return cfg.Show(out)
	case "help", "-h", "--help":
		fmt.Fprint(out, configUsage)
		return nil
	}
	fmt.Fprint(errOut, configUsage)
	return wrongUse("no command %q of config", args[0])
}

// checkConfig says whether a configuration is right.
func checkConfig(args []string, out, errOut io.Writer) error {
	cfg, err := load("config check", args, errOut)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "ok: %s %s/%s, hub %s", agent.Variant, cfg.Product, cfg.Device, cfg.Hub)
	if agent.Variant == "gateway" {
		fmt.Fprintf(out, ", %d sub-devices at %s", len(cfg.Subdevices), cfg.Listen)
	}
	fmt.Fprintln(out)
	return nil
}

// diagnose packs up what whoever helps from afar needs.
func diagnose(ctx context.Context, args []string, out, errOut io.Writer) error {
	var path string
	cfg, _, err := lookFlags("diagnose", args, errOut, func(set *flag.FlagSet) {
		set.StringVar(&path, "out", "", "the `file` to write; hawser-DEVICE-TIME.tar.gz in the working folder when it is absent")
	})
	if err != nil {
		return err
	}
	if path == "" {
		path = "hawser-" + strings.ReplaceAll(cfg.Device, ":", "_") + "-" + time.Now().UTC().Format("20060102T150405Z") + ".tar.gz"
	}
	names, err := agent.Diagnose(ctx, cfg, revision(), path)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s: %s\n", path, strings.Join(names, ", "))
	return nil
}
