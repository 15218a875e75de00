package clock_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/cloud/broker/brokertest"
	"github.com/hawser-iot/hawser/cloud/clock"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/topic"
	"github.com/hawser-iot/hawser/testbed/harness/leak"
)

func TestMain(m *testing.M) { leak.VerifyTestMain(m) }

func TestRequest(t *testing.T) {
	s := brokertest.New(t, brokertest.Config{Store: storetest.SQLite(t), Handlers: map[topic.Kind]uplink.Handler{topic.NTPRequest: clock.New(nil)}})
	d := s.New(t)
	c := s.MustDial(t, brokertest.Of(d))
	c.Subscribe(topic.System(d.Identity, topic.NTPResponse))
	ask := func(payload string) string {
		for _, m := range c.Publish(topic.System(d.Identity, topic.NTPRequest), payload) {
			if m.Topic == topic.System(d.Identity, topic.NTPResponse) {
				return m.Payload
			}
		}
		return ""
	}
	before := time.Now().UnixMilli()
	got := ask(`{"DeviceSendTime":1524448722000,"More":1}`)
	after := time.Now().UnixMilli()
	var answer struct{ DeviceSendTime, ServerRecvTime, ServerSendTime int64 }
	if err := json.Unmarshal([]byte(got), &answer); err != nil || answer.DeviceSendTime != 1524448722000 {
		t.Fatalf("answer %s: %v", got, err)
	}
	if answer.ServerRecvTime < before || answer.ServerSendTime < answer.ServerRecvTime || answer.ServerSendTime > after {
		t.Errorf("answer %s between %d and %d", got, before, after)
	}
	if got := ask(`{}`); got == "" {
		t.Error("a request without a time is not answered")
	}
	for _, bad := range []string{`{`, `[]`, `{"DeviceSendTime":"x"}`, `{"DeviceSendTime":1.5}`} {
		if got := ask(bad); got != "" {
			t.Errorf("%s is answered with %s", bad, got)
		}
	}
}
