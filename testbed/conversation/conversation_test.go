package conversation

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hawser-iot/hawser/testbed/harness"
)

func TestMain(m *testing.M) {
	code := m.Run()
	harness.RemoveBinaries()
	os.Exit(code)
}

func TestConversations(t *testing.T) {
	files, err := filepath.Glob("testdata/*/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("conversations: %v, %v", files, err)
	}
	hub := harness.StartHub(t, harness.HubOptions{Args: []string{"--action-api"}})
	for _, file := range files {
		name := strings.TrimSuffix(strings.TrimPrefix(file, "testdata/"), ".txt")
		actions, err := Actions(file)
		if err != nil {
			t.Fatal(err)
		}
		if actions {
			for _, way := range Ways {
				t.Run(name+" as "+way, func(t *testing.T) {
					t.Parallel()
					PlayAs(t, hub, file, way)
				})
			}
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			Play(t, hub, file, false)
		})
		both, err := Cbor(file)
		if err != nil {
			t.Fatal(err)
		}
		if both {
			t.Run(name+" in CBOR", func(t *testing.T) {
				t.Parallel()
				Play(t, hub, file, true)
			})
		}
	}
}
