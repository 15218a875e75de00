package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/apiclient"
)

// maxEvent bounds one line of a stream.
const maxEvent = 4 << 20

// errEnough ends a stream after --count events.
var errEnough = errors.New("enough events")

// stream is a run of a command that shows server-sent events.
type stream struct {
	*cli
	// begin asks for the stream, from behind the event with the id last ("": from now on).
	begin func(ctx context.Context, client *apiclient.Client, last string) (*http.Response, error)
	// event shows one that has an id; notice one that has none, by its type.
	event  func(data []byte) error
	notice func(kind string, data []byte)
	count  int // 0: no end

	last string
	seen int
}

// run follows the stream over broken connections. Only the first connection must succeed: a hub that restarts is
// waited for.
func (s *stream) run(ctx context.Context) error {
	for first, pause := true, time.Second; ; first = false {
		resp, err := s.open(ctx, func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
			return s.begin(ctx, client, s.last)
		})
		var lost *unreachableError
		switch {
		case err == nil:
			pause = time.Second
			err = s.follow(resp.Body)
			if errors.Is(err, errEnough) {
				return nil
			}
			if ctx.Err() == nil {
				fmt.Fprintln(s.errOut, "hawserctl: the stream ended, connecting again")
			}
		case first || !errors.As(err, &lost):
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause/2 + rand.N(pause)):
			pause = min(2*pause, 30*time.Second)
		}
	}
}

// follow shows events until the stream ends, and remembers the last id.
func (s *stream) follow(body io.ReadCloser) error {
	defer func() { _ = body.Close() }() // it was only read
	var id, kind string
	var data []byte
	sc := bufio.NewScanner(body)
	sc.Buffer(nil, maxEvent)
	for sc.Scan() {
		name, value, _ := strings.Cut(sc.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case name == "id":
			id = value
		case name == "event":
			kind = value
		case name == "data":
			data = append(data, value...)
		case sc.Text() == "" && data != nil && id == "":
			s.notice(kind, data)
			kind, data = "", nil
		case sc.Text() == "" && data != nil:
			s.last = id
			if err := s.event(data); err != nil {
				return err
			}
			if s.seen++; s.count > 0 && s.seen >= s.count {
				return errEnough
			}
			id, kind, data = "", "", nil
		}
	}
	return sc.Err()
}

// printEvent prints an event as it came, for -o json one a line; raw is false for a table, which is the caller's to make.
func (s *stream) printEvent(data []byte) (raw bool, err error) {
	switch s.output {
	case asJSON:
		_, err := fmt.Fprintf(s.out, "%s\n", data)
		return true, err
	case asYAML:
		if _, err := fmt.Fprintln(s.out, "---"); err != nil {
			return true, err
		}
		return true, s.printRaw(data)
	}
	return false, nil
}
