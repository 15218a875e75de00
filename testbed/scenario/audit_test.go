package scenario

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/testbed/harness"
)

// TestKilledHubHasAnEntryOfEachChange kills the hub with SIGKILL while operators make changes. Afterwards the audit log tells of
// every change that is there, answered or not, and of none that is not: devices that were made (an administrative transaction)
// and changes of a shadow (a unit of the group commit).
func TestKilledHubHasAnEntryOfEachChange(t *testing.T) {
	operators, kills, each := 4, 3, 200*time.Millisecond
	if os.Getenv("HAWSER_TEST_LONG") != "" {
		operators, kills, each = 12, 40, time.Second
	}
	hub := harness.StartHub(t, harness.HubOptions{Args: []string{"--api-rate", "0"}})
	devices := hub.Devices(hub.Product(map[string]any{"name": t.Name(), "shadow": true}), operators)
	product := "/v1/products/" + devices[0].ProductSN
	done, answered := make(chan struct{}), make([]atomic.Int64, operators)
	var wg sync.WaitGroup
	for i, d := range devices {
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				default:
				}
				made := hub.Call("POST", product+"/devices", map[string]any{"deviceSN": fmt.Sprintf("made-%d-%d", i, n)}, nil)
				changed := hub.Call("PATCH", product+"/devices/"+d.DeviceSN+"/shadow", map[string]any{"desired": map[string]any{"n": n}}, nil)
				if made != nil || changed != nil {
					<-time.After(10 * time.Millisecond) // the hub is killed
					continue
				}
				answered[i].Add(1)
			}
		})
	}
	for range kills {
		grow(t, "every operator's changes are answered", answered)
		<-time.After(each + rand.N(each)) // the kill must fall anywhere in the changes
		hub.Kill()
		hub.Start()
	}
	close(done)
	wg.Wait()

	entries, open := auditOf(t, hub, "createDevice")
	made := map[string]int{}
	for _, e := range entries {
		sn := e.Object[strings.LastIndexByte(e.Object, '/')+1:]
		if e.Result == 0 { // the hub ended before it had answered: what was asked for says which
			var asked harness.Credentials
			if len(e.Diff) != 1 || json.Unmarshal(e.Diff[0].After, &asked) != nil {
				t.Fatalf("an unanswered change does not say what it was: %+v", e)
			}
			sn = asked.DeviceSN
		}
		made[sn]++
	}
	for _, sn := range deviceSNs(t, hub, product) {
		if strings.HasPrefix(sn, "made-") && made[sn] != 1 {
			t.Errorf("%s is there, with %d entries", sn, made[sn])
		}
		delete(made, sn)
	}
	for sn, n := range made {
		if strings.HasPrefix(sn, "made-") {
			t.Errorf("%s has %d entries, and is not there", sn, n)
		}
	}
	changes := map[string]int{}
	set, openSets := auditOf(t, hub, "updateShadow")
	for _, e := range set {
		changes[e.Object]++
	}
	for _, d := range devices {
		var doc struct{ Revision int }
		path := product + "/devices/" + d.DeviceSN + "/shadow"
		if err := hub.Call("GET", path, nil, &doc); err != nil {
			t.Fatal(err)
		}
		if doc.Revision != changes[path] || doc.Revision == 0 {
			t.Errorf("%s was changed %d times, with %d entries", path, doc.Revision, changes[path])
		}
	}
	t.Logf("%d devices made and %d shadows changed over %d kills; %d and %d of them were not answered", len(entries), len(set), kills, open, openSets)
}

type auditEntry struct {
	Object string
	Result int
	Diff   []struct {
		After json.RawMessage
	}
}

// auditOf are the entries of an operation that were not refused, and how many of them were not answered.
func auditOf(t *testing.T, hub *harness.Hub, operation string) (list []auditEntry, open int) {
	t.Helper()
	pages(t, hub, "/v1/audit?failed=false&operation="+operation, func(item json.RawMessage) {
		var e auditEntry
		if err := json.Unmarshal(item, &e); err != nil {
			t.Fatal(err)
		}
		if list = append(list, e); e.Result == 0 {
			open++
		}
	})
	return list, open
}

func deviceSNs(t *testing.T, hub *harness.Hub, product string) (sns []string) {
	t.Helper()
	pages(t, hub, product+"/devices?", func(item json.RawMessage) {
		var d harness.Credentials
		if err := json.Unmarshal(item, &d); err != nil {
			t.Fatal(err)
		}
		sns = append(sns, d.DeviceSN)
	})
	return sns
}

// pages walks a whole list.
func pages(t *testing.T, hub *harness.Hub, path string, each func(json.RawMessage)) {
	t.Helper()
	for cursor := ""; ; {
		var page struct {
			Items      []json.RawMessage
			NextCursor string
		}
		if err := hub.Call("GET", path+"&limit=1000&cursor="+url.QueryEscape(cursor), nil, &page); err != nil {
			t.Fatal(err)
		}
		for _, item := range page.Items {
			each(item)
		}
		if cursor = page.NextCursor; cursor == "" {
			return
		}
	}
}
