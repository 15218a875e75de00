package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/hawser-iot/hawser/edge-agent/agent"
	"github.com/hawser-iot/hawser/edge-agent/buffer"
)

const bufferUsage = `hawser-agent buffer: what waits for the hub.

Usage:
  hawser-agent buffer stat   --config FILE [-o json]   streams, their records, segments and losses
  hawser-agent buffer dump   --config FILE [-o json]   the records that the hub does not have, oldest first
  hawser-agent buffer verify --config FILE [-o json]   check every byte; exit code 1 when something is damaged

They read the files and change nothing, whether the agent runs or not.
`

// errDamaged is what verify ends with.
var errDamaged = errors.New("the buffer is damaged: the next start of the agent goes on with what is whole and reports the rest as lost")

// buffered does the commands of `hawser-agent buffer`.
func buffered(args []string, out, errOut io.Writer) error {
	if len(args) == 0 {
		fmt.Fprint(errOut, bufferUsage)
		return wrongUse("name a command of buffer")
	}
	do, ok := map[string]func(cfg agent.Config, asJSON bool, out io.Writer) error{
		"stat": bufferStat, "dump": bufferDump, "verify": bufferVerify,
	}[args[0]]
	switch {
	case args[0] == "help" || args[0] == "-h" || args[0] == "--help":
		fmt.Fprint(out, bufferUsage)
		return nil
	case !ok:
		fmt.Fprint(errOut, bufferUsage)
		return wrongUse("no command %q of buffer", args[0])
	}
	cfg, asJSON, err := bufferFlags(args[0], args[1:], errOut)
	if err != nil {
		return err
	}
	err = do(cfg, asJSON, out)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("no buffer yet: %w", err)
	}
	return err
}

func bufferFlags(name string, args []string, errOut io.Writer) (cfg agent.Config, asJSON bool, err error) {
	set := flag.NewFlagSet("hawser-agent buffer "+name, flag.ContinueOnError)
	set.SetOutput(errOut)
	path := set.String("config", "", "the configuration `file` (YAML)")
	format := set.String("o", "text", "output `format`: text or json")
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

func bufferStat(cfg agent.Config, asJSON bool, out io.Writer) error {
	list, err := buffer.Inspect(cfg.BufferDir(), nil)
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(out, list)
	}
	for _, r := range list {
		fmt.Fprintf(out, "%s: %d waiting, %d bytes; %d kept that the hub has; %d bytes in %d segments, epoch %016x, next number %d\n",
			r.Stream, r.Records, r.Bytes, r.Kept, r.Disk, len(r.Segments), r.Epoch, r.Next)
		if st, ok := cfg.Buffer.Stream(r.Stream); ok {
			fmt.Fprintf(out, "  priority %d, %s, %s%s\n", st.Priority, st.Durability, st.WhenFull, bounds(st))
		} else {
			fmt.Fprint(out, "  not in the configuration any more; what waits is sent\n")
		}
		if r.Records > 0 {
			fmt.Fprintf(out, "  from %s to %s\n", r.Oldest.Format(time.RFC3339), r.Newest.Format(time.RFC3339))
		}
		if n := thinned(r); n > 0 {
			fmt.Fprintf(out, "  thinned out: down to one message of %d\n", 1<<n)
		}
		for _, g := range r.Gaps {
			fmt.Fprintf(out, "  lost: %d to %d, %s, %d bytes\n", g.From, g.To, g.Reason, g.Bytes)
		}
	}
	return nil
}

// bounds are those of a stream that has some.
func bounds(st agent.BufferStream) (text string) {
	if st.TTL > 0 {
		text += ", for " + time.Duration(st.TTL).String()
	}
	if st.MaxBytes > 0 {
		text += fmt.Sprintf(", at most %d bytes", st.MaxBytes)
	}
	return text
}

// thinned is how often every second message was given up, where it was most often.
func thinned(r buffer.Report) (n int) {
	for _, s := range r.Segments {
		n = max(n, s.Thinned)
	}
	return n
}

// dumped is a record as dump prints it in JSON, one a line.
type dumped struct {
	Stream  string    `json:"stream"`
	Seq     uint64    `json:"seq"`
	Time    time.Time `json:"time"`
	Topic   string    `json:"topic"`
	QoS     byte      `json:"qos"`
	Payload []byte    `json:"payload"` // base64
}

func bufferDump(cfg agent.Config, asJSON bool, out io.Writer) error {
	_, err := buffer.Inspect(cfg.BufferDir(), func(stream string, r buffer.Record) error {
		if asJSON {
			return json.NewEncoder(out).Encode(dumped{stream, r.Seq, r.Time, r.Topic, r.QoS, r.Payload})
		}
		_, err := fmt.Fprintf(out, "%s %d  %s  %s  %d bytes\n", stream, r.Seq, r.Time.Format(time.RFC3339), r.Topic, len(r.Payload))
		return err
	})
	return err
}

func bufferVerify(cfg agent.Config, asJSON bool, out io.Writer) error {
	list, err := buffer.Inspect(cfg.BufferDir(), nil)
	if err != nil {
		return err
	}
	bad := false
	for _, r := range list {
		bad = bad || len(r.Problems) > 0
		if asJSON {
			continue
		}
		for _, p := range r.Problems {
			fmt.Fprintf(out, "%s: %s\n", r.Stream, p)
		}
		if len(r.Problems) == 0 {
			fmt.Fprintf(out, "%s: ok, %d records in %d segments\n", r.Stream, r.Records+r.Kept, len(r.Segments))
		}
	}
	if asJSON {
		if err := printJSON(out, list); err != nil {
			return err
		}
	}
	if bad {
		return errDamaged
	}
	return nil
}
