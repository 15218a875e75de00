package scenario

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/apitype"
	"github.com/hawser-iot/hawser/testbed/harness"
)

// TestCampaignActionsThroughKills: the hub is killed with SIGKILL while a campaign is tried again, rolled back and aborted, by hand and by its stop rule. What was
// asked for happens once, whether the answer came or not; no device is updated twice, or goes on with what was called off.
func TestCampaignActionsThroughKills(t *testing.T) {
	beside(t)
	n, rounds := 12, 1
	if os.Getenv("HAWSER_TEST_LONG") != "" {
		n, rounds = 120, 10
	}
	hub := harness.StartHub(t, harness.HubOptions{})
	f := newFactory(t, hub)
	for round := range rounds {
		a := &acting{factory: f, hub: hub, n: n, firmware: map[string]string{}}
		f.product = hub.Product(map[string]any{"name": fmt.Sprint("valve-", round)})
		for _, cred := range hub.Devices(f.product, n) {
			a.fleet = append(a.fleet, startUpdater(t, hub, cred))
		}
		for _, version := range []string{"1.0", "2.0", "3.0", "4.0"} {
			resp, err := f.client.AddFirmwareWithBody(t.Context(), f.product, &apitype.AddFirmwareParams{Version: version}, octets, strings.NewReader(version))
			a.firmware[version] = answer[apitype.Firmware](t, resp, err).FirmwareID
		}
		second := a.retried()
		a.rolledBack(second)
		a.aborted()
		a.stopped()
	}
}

// acting is a fleet with campaigns that somebody acts on while the hub is killed.
type acting struct {
	*factory
	hub      *harness.Hub
	n        int
	fleet    []*updater
	firmware map[string]string
}

// begin makes a campaign of a version for all devices.
func (a *acting) begin(version string, stop apitype.CampaignStop, waves ...apitype.CampaignWave) (id string) {
	a.t.Helper()
	resp, err := a.client.CreateCampaign(a.t.Context(), a.product, apitype.NewCampaign{FirmwareID: a.firmware[version], Name: version,
		Targets: apitype.CampaignTargets{All: true}, Waves: waves, Stop: stop})
	return answer[apitype.Campaign](a.t, resp, err).CampaignID
}

func (a *acting) at(id string) apitype.Campaign {
	a.t.Helper()
	resp, err := a.client.GetCampaign(a.t.Context(), a.product, id)
	return answer[apitype.Campaign](a.t, resp, err)
}

// come waits until something is so, and kills the hub then.
func (a *acting) come(what string, come func() bool) {
	a.t.Helper()
	begun := time.Now()
	harness.Eventually(a.t, 60*time.Second, what, come)
	a.hub.Kill()
	a.hub.Start()
	a.t.Logf("%s after %s", what, time.Since(begun).Round(time.Millisecond))
}

// under asks for something while the hub is killed: the answer may be lost, and what was asked for may have happened. patience differs from action to action,
// so that the kills come at several places.
func (a *acting) under(patience time.Duration, action, id string) {
	a.t.Helper()
	answered := make(chan error, 1)
	go func() {
		answered <- a.hub.Call("POST", "/v1/products/"+a.product+"/campaigns/"+id+"/"+action, map[string]any{}, nil)
	}()
	select {
	case err := <-answered:
		a.t.Logf("%s was answered before the kill: %v", action, err)
	case <-time.After(patience):
	}
	a.hub.Kill()
	a.hub.Start()
}

// backs are the campaigns that bring devices of another back.
func (a *acting) backs(version string) (ids []string) {
	a.t.Helper()
	var list apitype.CampaignList
	if err := a.hub.Call("GET", "/v1/products/"+a.product+"/campaigns", nil, &list); err != nil {
		a.t.Fatal(err)
	}
	for _, c := range list.Items {
		if strings.HasPrefix(c.Name, "back from "+version+":") {
			ids = append(ids, c.CampaignID)
		}
	}
	return ids
}

// installed wants each device to run a version and to have installed so many by now.
func (a *acting) installed(what, version string, installs int) {
	a.t.Helper()
	for _, u := range a.fleet {
		if _, n := u.count(); u.runs() != version || n != installs {
			a.t.Errorf("%s: %s runs %s after %d installations, want %s after %d", what, u.cred.DeviceSN, u.runs(), n, version, installs)
		}
	}
}

// retried is a campaign a third of whose devices fail twice, and are offered it again when somebody says so.
func (a *acting) retried() (id string) {
	a.t.Helper()
	bad := a.n / 3
	for _, u := range a.fleet[:bad] {
		u.set("2.0", 2, false)
	}
	id = a.begin("2.0", apitype.CampaignStop{})
	a.come("the campaign is done, but for some", func() bool { c := a.at(id); return c.Status == "done" && c.Devices["failed"] == int64(bad) })
	a.under(2*time.Millisecond, "retry", id)
	settled := func() bool { return a.at(id).Status == "done" }
	harness.Eventually(a.t, 60*time.Second, "a retry under a kill settles", settled)
	for tries := 0; a.at(id).Devices["failed"] > 0; tries++ {
		if tries == 3 {
			a.t.Fatalf("still failed after %d retries: %v", tries, a.at(id).Devices)
		}
		if err := a.hub.Call("POST", "/v1/products/"+a.product+"/campaigns/"+id+"/retry", nil, nil); err != nil {
			a.t.Fatal(err)
		}
		a.come("retry", func() bool { return true })
		harness.Eventually(a.t, 60*time.Second, "the retry settles", settled)
	}
	if c := a.at(id); c.Devices["succeeded"] != int64(a.n) || len(c.Devices) != 1 {
		a.t.Errorf("tried again: %v", c.Devices)
	}
	a.installed("tried again", "2.0", 1)
	return id
}

// rolledBack brings all devices of a campaign back, with a roll-back whose answer is lost and one that asks once more.
func (a *acting) rolledBack(id string) {
	a.t.Helper()
	a.under(3*time.Millisecond, "rollback", id)
	a.t.Logf("campaigns back after the kill: %v", a.backs("2.0"))
	var list apitype.CampaignList
	if err := a.hub.Call("POST", "/v1/products/"+a.product+"/campaigns/"+id+"/rollback", map[string]any{}, &list); err != nil || len(list.Items) != 1 {
		a.t.Fatalf("asked once more: %d campaigns, %v", len(list.Items), err)
	}
	back := list.Items[0].CampaignID
	a.come("rollback", func() bool { return true })
	a.come("the first device is back", func() bool { return a.at(back).Devices["succeeded"] > 0 })
	a.come("all are back", func() bool { return a.at(back).Status == "done" })
	if c := a.at(back); c.Devices["succeeded"] != int64(a.n) || len(c.Devices) != 1 || len(a.backs("2.0")) != 1 {
		a.t.Errorf("brought back: %v by %v", c.Devices, a.backs("2.0"))
	}
	a.installed("brought back", "1.0", 2)
}

// aborted calls a campaign off whose devices are downloading: all hear of it, though the word may be lost with the hub.
func (a *acting) aborted() {
	a.t.Helper()
	for _, u := range a.fleet {
		u.set("3.0", 0, true)
	}
	id := a.begin("3.0", apitype.CampaignStop{}, apitype.CampaignWave{Count: int64(a.n / 2)}, apitype.CampaignWave{Percent: 100})
	harness.Eventually(a.t, 60*time.Second, "the first wave downloads", func() bool { return a.at(id).Devices["downloading"] == int64(a.n/2) })
	a.under(3*time.Millisecond, "abort", id)
	if status := a.at(id).Status; status != "aborted" {
		if err := a.hub.Call("POST", "/v1/products/"+a.product+"/campaigns/"+id+"/abort", nil, nil); err != nil {
			a.t.Fatal(err)
		}
		a.come("abort", func() bool { return true })
	}
	a.come("it has ended", func() bool { return !a.at(id).EndedAt.IsZero() })
	harness.Eventually(a.t, 60*time.Second, "all devices that download hear of it", func() bool {
		return !slices.ContainsFunc(a.fleet, func(u *updater) bool { return u.loads("3.0") })
	})
	if c := a.at(id); c.Devices["cancelled"] != int64(a.n/2) || len(c.Devices) != 1 {
		a.t.Errorf("aborted: %v", c.Devices)
	}
	a.installed("aborted", "1.0", 2)
}

// stopped is a bad build: its stop rule aborts it and brings back whom it has reached.
func (a *acting) stopped() {
	a.t.Helper()
	bad := a.n / 2
	for _, u := range a.fleet[:bad] {
		u.set("4.0", 1, false)
	}
	id := a.begin("4.0", apitype.CampaignStop{Limit: 5, Action: "rollback"})
	a.come("the stop rule aborts", func() bool { return a.at(id).Status == "aborted" })
	a.come("its end", func() bool { return !a.at(id).EndedAt.IsZero() })
	reached := a.at(id).Devices["succeeded"]
	if backs := a.backs("4.0"); reached == 0 && len(backs) == 0 {
		a.t.Log("the rule was faster than all devices")
		return
	} else if len(backs) != 1 {
		a.t.Fatalf("campaigns back: %v, for %d devices", backs, reached)
	}
	back := a.backs("4.0")[0]
	a.come("all are back", func() bool { return a.at(back).Status == "done" })
	if c := a.at(back); c.Targets != reached || c.Devices["succeeded"] != reached || len(c.Devices) != 1 || len(a.backs("4.0")) != 1 {
		a.t.Errorf("%d were reached, brought back: %v", reached, c.Devices)
	}
}
