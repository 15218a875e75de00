package provision_test

import (
	"testing"

	"github.com/hawser-iot/hawser/cloud/broker/brokertest"
	"github.com/hawser-iot/hawser/cloud/store/storetest"
	"github.com/hawser-iot/hawser/cloud/uplink"
	"github.com/hawser-iot/hawser/protocol/message"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// TestPasswordFault: a registration that meets a fault of the hub's own is answered in its own form.
func TestPasswordFault(t *testing.T) {
	s := brokertest.New(t, brokertest.Config{Store: storetest.SQLite(t)})
	d := s.New(t)
	m := &uplink.Message{Device: d.Identity, Payload: []byte(`{"RequestID":"100"}`), Topic: topic.Topic{Kind: topic.Password, Device: d.Identity}}
	h, ok := s.Provision.Handlers()[topic.Password].(uplink.Excuser)
	if !ok {
		t.Fatal("nobody answers")
	}
	if err := h.Excuse(m, message.CodeInternal); err != nil {
		t.Fatal(err)
	}
	want := uplink.Reply{Topic: topic.System(d.Identity, topic.PasswordReply), Payload: []byte(`{"RetCode":"130","RequestID":"100","Message":"internal error"}`)}
	if got := m.Replies(); len(got) != 1 || got[0].Topic != want.Topic || string(got[0].Payload) != string(want.Payload) {
		t.Errorf("got %s %s\nwant %s", got[0].Topic, got[0].Payload, want.Payload)
	}
}
