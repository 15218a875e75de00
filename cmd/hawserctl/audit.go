package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/cloud/apiclient"
	"github.com/hawser-iot/hawser/cloud/apitype"
)

func newAudit(c *cli) *cobra.Command {
	list := newAuditList(c)
	return group("audit", "The audit log: list", list.Example, list)
}

// auditColumns are what a table of entries shows.
var auditColumns = []string{"at", "actorName", "operation", "object", "result", "code", "diff"}

func newAuditList(c *cli) *cobra.Command {
	var p apitype.ListAuditParams
	var actor, operation, object, sort string
	var failed, follow bool
	var since, until time.Duration
	var limit int
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Show what was changed, by whom; newest first",
		Long: `Show what was changed, by whom, and what was refused. --follow shows new entries
as they come, oldest first, until Ctrl-C.`,
		Example: `  hawserctl audit list --actor ann@example.com --since 24h
  hawserctl audit list --operation 'delete*' --since 720h --until 24h --sort created
  hawserctl audit list --object /v1/rules --failed
  hawserctl audit list --follow -o json`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			p.Actor, p.Operation, p.Object = given(cmd.Flags(), "actor", &actor), given(cmd.Flags(), "operation", &operation), given(cmd.Flags(), "object", &object)
			p.Failed = given(cmd.Flags(), "failed", &failed)
			p.Since, p.Until = ago(since), ago(until)
			p.Sort = (*apitype.ListAuditParamsSort)(optional(sort))
			if follow {
				if until > 0 || sort != "" {
					return usageError{errors.New("--follow shows what comes, in its order: leave out --until and --sort")}
				}
				return (&tail{cli: c, params: p, most: limit}).run(cmd.Context())
			}
			items, err := c.all(cmd.Context(), limit, func(ctx context.Context, client *apiclient.Client, limit *int, cursor *string) (*http.Response, error) {
				p.Limit, p.Cursor = limit, cursor
				return client.ListAudit(ctx, &p)
			})
			if err != nil {
				return err
			}
			return c.printList(items, auditColumns...)
		},
	}
	f := cmd.Flags()
	f.StringVar(&actor, "actor", "", "only of this user or key: its id, or its login or name")
	f.StringVar(&operation, "operation", "", "only this operation of the API, like updateRule, or what begins so, like 'update*'")
	f.StringVar(&object, "object", "", "only what was done to paths that begin with this")
	f.BoolVar(&failed, "failed", false, "only what was refused or failed; =false for only what was done")
	f.DurationVar(&since, "since", 0, "only of the last so long")
	f.DurationVar(&until, "until", 0, "only of what is older than so long")
	f.StringVar(&sort, "sort", "", "created for the oldest first; -created is the order without it")
	f.IntVar(&limit, "limit", 0, "at most so many (default all); with --follow, end after so many")
	f.BoolVar(&follow, "follow", false, "show new entries as they come")
	return cmd
}

// ago is the time so long ago; nil for 0.
func ago(d time.Duration) *time.Time {
	if d <= 0 {
		return nil
	}
	t := time.Now().Add(-d).UTC()
	return &t
}

const (
	// followEvery is how often --follow asks, and followBack how far it asks back each time: entries of several nodes come in
	// with ids that are a little out of order.
	followEvery = time.Second
	followBack  = 5 * time.Second
)

// tail follows the log.
type tail struct {
	*cli
	params apitype.ListAuditParams
	most   int // 0: no end
	shown  map[string]time.Time
	heads  bool // the heading was printed
}

func (t *tail) run(ctx context.Context) error {
	t.shown = map[string]time.Time{}
	from := time.Now()
	if t.params.Since != nil {
		from = *t.params.Since
	}
	since := from.UTC()
	page := 1000
	t.params.Limit, t.params.Since = &page, &since
	for seen := 0; ; {
		after := strconv.FormatInt(max(from.UnixMilli(), 0)<<20, 10)
		t.params.After = &after
		b, err := t.do(ctx, func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
			return client.ListAudit(ctx, &t.params)
		})
		if err != nil {
			return err
		}
		items, err := itemsOf(b)
		if err != nil {
			return err
		}
		for _, item := range items {
			newer, err := t.print(item)
			if err != nil {
				return err
			}
			if newer {
				if seen++; t.most > 0 && seen >= t.most {
					return nil
				}
			}
		}
		if len(items) == page { // there is more
			from = t.newest()
			continue
		}
		from = t.forget(from)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(followEvery):
		}
	}
}

// print shows an entry that was not shown before.
func (t *tail) print(item json.RawMessage) (newer bool, err error) {
	id := rawID(item)
	if _, ok := t.shown[id]; ok {
		return false, nil
	}
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return false, errors.New("the hub's entry has no id")
	}
	t.shown[id] = time.UnixMilli(n >> 20)
	if t.raw() {
		_, err := fmt.Fprintf(t.out, "%s\n", item)
		return true, err
	}
	bare := t.noHeaders
	t.noHeaders = bare || t.heads
	err = t.printList([]json.RawMessage{item}, auditColumns...)
	t.noHeaders, t.heads = bare, true
	return true, err
}

// newest is the time of the latest entry that was shown.
func (t *tail) newest() time.Time {
	var last time.Time
	for _, at := range t.shown {
		if at.After(last) {
			last = at
		}
	}
	return last
}

// forget drops what will not be asked for again, and says from when on to ask.
func (t *tail) forget(from time.Time) time.Time {
	if last := t.newest().Add(-followBack); last.After(from) {
		from = last
	}
	for id, at := range t.shown {
		if at.Before(from) {
			delete(t.shown, id)
		}
	}
	return from
}
