package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/hawser-iot/hawser/edge-agent/agent"
)

const publishUsage = `hawser-agent publish: hand the running agent a message of the gateway's own.

Usage:
  hawser-agent publish --config FILE --topic TOPIC [--payload TEXT]

TOPIC is a whole name of the gateway's own, such as /$system/PRODUCT/DEVICE/tmodel/property/post, or a path of its custom topics, such as upload. Without
--payload the message is read from standard input. The command returns when the message is durable; the hub gets it when it is in reach.
`

// publish hands over one message.
func publish(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) error {
	set := flag.NewFlagSet("hawser-agent publish", flag.ContinueOnError)
	set.SetOutput(errOut)
	set.Usage = func() { fmt.Fprint(errOut, publishUsage) }
	path := set.String("config", "", "the configuration `file` (YAML)")
	name := set.String("topic", "", "the `topic`")
	payload := set.String("payload", "", "the message; read from standard input when it is absent")
	if err := set.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return usageError{err}
	}
	cfg, err := loadFile(*path, set)
	switch {
	case err != nil:
		return err
	case *name == "":
		return wrongUse("--topic is missing")
	}
	body := []byte(*payload)
	if !flagSet(set, "payload") {
		if body, err = io.ReadAll(io.LimitReader(in, agent.MaxPublish+1)); err != nil {
			return err
		}
	}
	began := time.Now()
	if err := agent.Publish(ctx, cfg, *name, body); err != nil {
		return err
	}
	fmt.Fprintf(out, "durable: %d bytes, %v\n", len(body), time.Since(began).Round(time.Millisecond))
	return nil
}

func flagSet(set *flag.FlagSet, name string) (is bool) {
	set.Visit(func(f *flag.Flag) { is = is || f.Name == name })
	return is
}
