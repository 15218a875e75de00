package scenario

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/apitype"
	"github.com/hawser-iot/hawser/testbed/harness"
)

// TestCampaignThroughKills: the hub is killed with SIGKILL at the transitions of a campaign. No device is counted or updated twice, none is lost, and the
// counters are those of the devices.
func TestCampaignThroughKills(t *testing.T) {
	beside(t)
	n, rounds := 12, 1
	if os.Getenv("HAWSER_TEST_LONG") != "" {
		n, rounds = 200, 20
	}
	hub := harness.StartHub(t, harness.HubOptions{})
	f := newFactory(t, hub)
	for round := range rounds {
		f.product = hub.Product(map[string]any{"name": fmt.Sprint("pump-", round)})
		f.throughKills(hub, n)
	}
}

func (f *factory) throughKills(hub *harness.Hub, n int) {
	t := f.t
	t.Helper()
	var fleet []*updater
	for _, cred := range hub.Devices(f.product, n) {
		fleet = append(fleet, startUpdater(t, hub, cred))
	}
	resp, err := f.client.AddFirmwareWithBody(t.Context(), f.product, &apitype.AddFirmwareParams{Version: "2.0"}, octets, strings.NewReader("the second"))
	firmware := answer[apitype.Firmware](t, resp, err).FirmwareID
	resp, err = f.client.CreateCampaign(t.Context(), f.product, apitype.NewCampaign{FirmwareID: firmware, Targets: apitype.CampaignTargets{All: true},
		Waves: []apitype.CampaignWave{{Percent: 30, Settled: 100, SoakSeconds: 1}, {Percent: 60, Settled: 100, Hold: true}, {Percent: 100}}})
	id := answer[apitype.Campaign](t, resp, err).CampaignID
	at := func() (c apitype.Campaign) {
		resp, err := f.client.GetCampaign(t.Context(), f.product, id)
		return answer[apitype.Campaign](t, resp, err)
	}
	total := func(of func(u *updater) int) (sum int) {
		for _, u := range fleet {
			sum += of(u)
		}
		return sum
	}
	offers := func() int { return total(func(u *updater) int { n, _ := u.count(); return n }) }
	for _, step := range []struct {
		what string
		come func() bool // looked at again and again
	}{
		{"preparing", func() bool { return true }},
		{"the first wave is let go", func() bool { return at().Released > 0 }},
		{"the first offer is out", func() bool { return offers() > 0 }},
		{"the first device is done", func() bool { return at().Devices["succeeded"] > 0 }},
		{"the second wave begins", func() bool { return at().Wave == 2 }},
		{"it holds", func() bool { return at().Status == "paused" }},
		{"it goes on", func() bool {
			resp, err := f.client.ResumeCampaign(t.Context(), f.product, id)
			return answer[apitype.Campaign](t, resp, err).Status == "running"
		}},
		{"half of the last wave", func() bool { return at().Devices["succeeded"] > int64(n*3/4) }},
		{"done", func() bool { return at().Status == "done" }},
	} {
		begun := time.Now()
		harness.Eventually(t, 60*time.Second, step.what, step.come)
		come := time.Since(begun)
		hub.Kill()
		hub.Start()
		t.Logf("%s after %s, the hub is back after %s", step.what, come.Round(time.Millisecond), time.Since(begun).Round(time.Millisecond))
	}
	f.balanced(at(), fleet)
}

// balanced compares what a campaign has counted with its devices, and with what these have done.
func (f *factory) balanced(c apitype.Campaign, fleet []*updater) {
	t := f.t
	t.Helper()
	if n := int64(len(fleet)); c.Status != "done" || c.Targets != n || c.Released != n || c.Devices["succeeded"] != n || len(c.Devices) != 1 {
		t.Errorf("the campaign is %s with %d targets, %d let go, %v", c.Status, c.Targets, c.Released, c.Devices)
	}
	limit := 500
	resp, err := f.client.ListCampaignDevices(t.Context(), f.product, c.CampaignID, &apitype.ListCampaignDevicesParams{Limit: &limit})
	waves, seen := map[int]int{}, map[string]bool{}
	for _, d := range answer[apitype.CampaignDeviceList](t, resp, err).Items {
		if seen[d.DeviceSN] || d.State != "succeeded" {
			t.Errorf("%s: in it twice (%v), or %s", d.DeviceSN, seen[d.DeviceSN], d.State)
		}
		seen[d.DeviceSN] = true
		waves[d.Wave]++
	}
	n := float64(len(fleet))
	first, second := int(n*0.3+0.999), int(n*0.6+0.999)
	if waves[1] != first || waves[2] != second-first || waves[3] != len(fleet)-second {
		t.Errorf("devices by wave: %v, want %d, %d, %d", waves, first, second-first, len(fleet)-second)
	}
	offers := 0
	for _, u := range fleet {
		n, installs := u.count()
		if offers += n; installs != 1 || !seen[u.cred.DeviceSN] {
			t.Errorf("%s was installed %d times, and is in the campaign: %v", u.cred.DeviceSN, installs, seen[u.cred.DeviceSN])
		}
	}
	t.Logf("%d devices, %d offers over the kills, by wave %v", len(fleet), offers, waves)
}
