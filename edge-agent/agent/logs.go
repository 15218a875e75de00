package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hawser-iot/hawser/edge-agent/journal"
	"github.com/hawser-iot/hawser/edge-agent/localapi"
)

const commandLogs = "logs"

// logWait is how long a question for lines that are not there yet waits.
const logWait = 5 * time.Second

// MaxLogLines is how many lines an answer has at most.
const MaxLogLines = 1000

// logsAsked is the argument of commandLogs.
type logsAsked struct {
	After uint64 `json:"after"` // only lines with higher numbers
	Last  int    `json:"last"`  // so many of them at most
	Wait  bool   `json:"wait"`  // for the next line, a few seconds at most
}

var errNoJournal = errors.New("agent: it keeps no lines of its log")

func (a *Agent) logs(ctx context.Context, args json.RawMessage) (any, error) {
	var q logsAsked
	if err := json.Unmarshal(args, &q); err != nil {
		return nil, fmt.Errorf("want {\"after\":0,\"last\":100}: %w", err)
	}
	if a.Journal == nil {
		return nil, errNoJournal
	}
	last := min(max(q.Last, 0), MaxLogLines)
	if !q.Wait {
		return a.Journal.After(q.After, last), nil
	}
	ctx, cancel := context.WithTimeout(ctx, logWait)
	defer cancel()
	return a.Journal.Wait(ctx, q.After, last), nil
}

// Logs asks the running agent for the last lines of its log. follow calls print with more until ctx ends or the agent does.
func Logs(ctx context.Context, cfg Config, last int, follow bool, print func(journal.Line) error) error {
	q := logsAsked{Last: last}
	for {
		var lines []journal.Line
		if err := localapi.Call(ctx, cfg.SocketPath(), commandLogs, q, &lines); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		for _, l := range lines {
			q.After = l.Seq
			if err := print(l); err != nil {
				return err
			}
		}
		if !follow {
			return nil
		}
		q.Wait, q.Last = true, MaxLogLines
	}
}
