package main

import (
	"os"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/hawser-iot/hawser/testbed/harness"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"hawser-hub": func() { os.Exit(run()) }})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/script"})
}

func TestSIGTERMStopsInOrder(t *testing.T) {
	t.Cleanup(harness.RemoveBinaries)
	hub := harness.StartHub(t, harness.HubOptions{})
	if err := hub.Stop(); err != nil || !strings.Contains(hub.Log(), "msg=stopped") {
		t.Errorf("after SIGTERM: %v\n%s", err, hub.Log())
	}
}
