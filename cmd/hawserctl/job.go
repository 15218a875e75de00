package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hawser-iot/hawser/cloud/apiclient"
	"github.com/hawser-iot/hawser/cloud/apitype"
)

func newJob(c *cli) *cobra.Command {
	return group("job", "Jobs, which are long work: list, get, watch, result, cancel", `  hawserctl job list --state running
  hawserctl job watch 0n3s8k2v5q7r1t9a`, newJobList(c), newJobWatch(c), newJobResult(c),
		jobCall(c, "get", "Get a job with its progress", func(ctx context.Context, client *apiclient.Client, id string) (*http.Response, error) {
			return client.GetJob(ctx, id)
		}),
		jobCall(c, "cancel", "End a job; what it has done stays done", func(ctx context.Context, client *apiclient.Client, id string) (*http.Response, error) {
			return client.CancelJob(ctx, id)
		}))
}

func jobCall(c *cli, verb, short string, call func(ctx context.Context, client *apiclient.Client, id string) (*http.Response, error)) *cobra.Command {
	return &cobra.Command{
		Use:     verb + " JOB",
		Short:   short,
		Example: "  hawserctl job " + verb + " 0n3s8k2v5q7r1t9a",
		Args:    exactArgs("JOB"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.show(cmd.Context(), func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
				return call(ctx, client, args[0])
			})
		},
	}
}

func newJobList(c *cli) *cobra.Command {
	var most int
	var state, kind string
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List jobs, newest first",
		Example: "  hawserctl job list\n  hawserctl job list --state running --kind device-import -o json",
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			params := apitype.ListJobsParams{Kind: given(cmd.Flags(), "kind", &kind)}
			if state != "" {
				s := apitype.JobState(state)
				params.State = &s
			}
			items, err := c.all(cmd.Context(), most, func(ctx context.Context, client *apiclient.Client, limit *int, cursor *string) (*http.Response, error) {
				params.Limit, params.Cursor = limit, cursor
				return client.ListJobs(ctx, &params)
			})
			if err != nil {
				return err
			}
			return c.printList(items, "id", "kind", "state", "succeeded", "failed", "total", "createdAt", "owner")
		},
	}
	limitFlag(cmd, &most)
	cmd.Flags().StringVar(&state, "state", "", "only queued, running, done, failed or cancelled ones")
	cmd.Flags().StringVar(&kind, "kind", "", "only jobs of this kind: device-import, device-bulk, device-command, message, dead-letter-replay")
	return cmd
}

func newJobWatch(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "watch JOB",
		Short:   "Follow a job to its end",
		Long:    "Follow a job to its end, over restarts of the hub. The exit code is 8 when some of its rows failed.",
		Example: "  hawserctl job watch 0n3s8k2v5q7r1t9a",
		Args:    exactArgs("JOB"),
		RunE:    func(cmd *cobra.Command, args []string) error { return c.finish(cmd.Context(), args[0], "") },
	}
}

func newJobResult(c *cli) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "result JOB",
		Short: "Download what became of each row, as CSV",
		Example: `  hawserctl job result 0n3s8k2v5q7r1t9a > result.csv
  hawserctl job result 0n3s8k2v5q7r1t9a --file result.csv`,
		Args: exactArgs("JOB"),
		RunE: func(cmd *cobra.Command, args []string) error { return c.saveResult(cmd.Context(), args[0], file) },
	}
	cmd.Flags().StringVar(&file, "file", "-", "where to; - is standard output")
	return cmd
}

// saveResult writes a job's result to a file that others may not read: it may hold secrets.
func (c *cli) saveResult(ctx context.Context, id, file string) (err error) {
	resp, err := c.open(ctx, func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
		return client.GetJobResult(ctx, id)
	})
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // it was only read
	out := c.out
	if file != "-" {
		f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
		if err != nil {
			return fmt.Errorf("save the result: %w; it can be had with hawserctl job result %s", err, id)
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		out = f
	}
	if _, err := io.Copy(out, resp.Body); err != nil {
		return fmt.Errorf("save the result: %w", err)
	}
	return nil
}

// finish follows a job to its end, prints it, and saves its result when a file is given.
func (c *cli) finish(ctx context.Context, id, file string) error {
	bar := c.newProgress()
	last, err := c.follow(ctx, id, bar)
	bar.end()
	if err != nil {
		if ctx.Err() != nil {
			fmt.Fprintf(c.errOut, "hawserctl: job %s goes on without you; hawserctl job watch %s follows it again\n", id, id)
		}
		return err
	}
	if file != "" {
		if err := c.saveResult(ctx, id, file); err != nil {
			return err
		}
	}
	var j apitype.Job
	if err := json.Unmarshal(last, &j); err != nil {
		return fmt.Errorf("read the job: %w", err)
	}
	if err := c.printOne(last); err != nil {
		return err
	}
	switch {
	case j.State != "done":
		return fmt.Errorf("%w: job %s has %s: %s", errRows, id, j.State, j.Error)
	case j.Failed > 0:
		return fmt.Errorf("%w: %d of %d rows failed; hawserctl job result %s says why", errRows, j.Failed, j.Succeeded+j.Failed, id)
	}
	return nil
}

// follow shows a job's progress until it has ended and returns it. A hub that restarts is waited for.
func (c *cli) follow(ctx context.Context, id string, bar *progress) (json.RawMessage, error) {
	for first, pause := true, time.Second; ; first = false {
		resp, err := c.open(ctx, func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
			return client.StreamJob(ctx, id)
		})
		var lost *unreachableError
		switch {
		case err == nil:
			pause = time.Second
			if last, ended := followStream(resp.Body, bar); ended {
				return last, nil
			}
		case first || !errors.As(err, &lost):
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause/2 + rand.N(pause)):
			pause = min(2*pause, 30*time.Second)
		}
	}
}

// followStream shows what the stream brings; ended tells that the job has.
func followStream(body io.ReadCloser, bar *progress) (last json.RawMessage, ended bool) {
	defer func() { _ = body.Close() }() // it was only read
	sc := bufio.NewScanner(body)
	sc.Buffer(nil, maxEvent)
	for sc.Scan() {
		data, ok := strings.CutPrefix(sc.Text(), "data: ")
		if !ok {
			continue
		}
		var j apitype.Job
		if json.Unmarshal([]byte(data), &j) != nil {
			continue
		}
		bar.show(&j)
		if !j.FinishedAt.IsZero() {
			return json.RawMessage(data), true
		}
	}
	return nil, false
}

// runJob starts a job and, unless told not to, follows it to its end.
func (c *cli) runJob(ctx context.Context, noWait bool, file string, start request) error {
	b, err := c.do(checkedByHub(ctx), start)
	if err != nil {
		return err
	}
	if noWait {
		return c.printOne(b)
	}
	var j apitype.Job
	if err := json.Unmarshal(b, &j); err != nil {
		return fmt.Errorf("read the hub's answer: %w", err)
	}
	return c.finish(ctx, j.ID, file)
}
