package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/hawser-iot/hawser/testbed/harness"
)

// follow reads a stream of events until ctx ends; ready is told once it has begun.
func follow(ctx context.Context, address, key string, ready chan<- error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		ready <- err
		return
	}
	req.Header.Set("Authorization", "Bearer "+key)
	resp, err := (&http.Client{Transport: &http.Transport{}}).Do(req)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", address, resp.Status)
	}
	ready <- err
	if err != nil {
		return
	}
	defer func() { _ = resp.Body.Close() }()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
	}
}

// node runs a script of testbed/console and returns what it prints.
func (e *env) node(script string, vars []string) string {
	cmd := exec.Command("node", filepath.Join(harness.Root(e), "testbed/console", script))
	cmd.Env, cmd.Stderr = append(os.Environ(), vars...), os.Stderr
	out, err := cmd.Output()
	must(e, err)
	return string(out)
}
