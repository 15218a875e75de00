package kafkasink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/cloud/rules/outbound"
	"github.com/hawser-iot/hawser/testbed/harness"
)

// class is what an error means to the rules.
func class(err error) string {
	switch {
	case err == nil:
		return "delivered"
	case errors.Is(err, rules.ErrPermanent) && errors.Is(err, rules.ErrUnavailable):
		return "both"
	case errors.Is(err, rules.ErrPermanent):
		return "permanent"
	case errors.Is(err, rules.ErrUnavailable):
		return "unavailable"
	}
	return "tried a few times"
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	e := env(t, brokers(c.ListenAddrs()))
	fixed := open(t, e, `{"connector":"c1","topic":"t"}`)
	made := open(t, e, `{"connector":"c1","topic":"${t}"}`)
	for _, tt := range []struct {
		answer      *kerr.Error
		fixed, made string // with a topic for all, and with one that the message names
	}{
		{kerr.NotLeaderForPartition, "unavailable", "unavailable"},
		{kerr.LeaderNotAvailable, "unavailable", "unavailable"},
		{kerr.RequestTimedOut, "unavailable", "unavailable"},
		{kerr.NotEnoughReplicas, "unavailable", "unavailable"},
		{kerr.NotEnoughReplicasAfterAppend, "unavailable", "unavailable"},
		{kerr.KafkaStorageError, "unavailable", "unavailable"},
		{kerr.OutOfOrderSequenceNumber, "unavailable", "unavailable"},
		{kerr.InvalidProducerEpoch, "unavailable", "unavailable"},
		{kerr.ClusterAuthorizationFailed, "unavailable", "unavailable"},
		{kerr.UnknownTopicOrPartition, "unavailable", "tried a few times"},
		{kerr.TopicAuthorizationFailed, "unavailable", "tried a few times"},
		{kerr.UnknownServerError, "tried a few times", "tried a few times"},
		{kerr.CorruptMessage, "tried a few times", "tried a few times"},
		{kerr.MessageTooLarge, "permanent", "permanent"},
		{kerr.RecordListTooLarge, "permanent", "permanent"},
		{kerr.InvalidTimestamp, "permanent", "permanent"},
		{kerr.InvalidRecord, "permanent", "permanent"},
		{kerr.PolicyViolation, "permanent", "permanent"},
	} {
		for s, want := range map[*Sink]string{fixed: tt.fixed, made: tt.made} {
			fault := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: tt.answer, Count: -1})
			err := s.Send(t.Context(), []rules.Record{record("dev1", 0, `{"t":"t"}`)})
			fault.Remove()
			if got := class(err); got != want {
				t.Errorf("%s: %s, want %s: %v", tt.answer.Message, got, want, err)
			}
			if err := s.Send(t.Context(), []rules.Record{record("dev1", 0, `{"t":"t"}`)}); err != nil {
				t.Fatalf("after %s: %v", tt.answer.Message, err)
			}
		}
	}
}

// A fault that passes is the client's own to get over, and leaves each message there once.
func TestFaultsThatPass(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	s := open(t, env(t, brokers(c.ListenAddrs())), `{"connector":"c1","topic":"t"}`)
	for i, answer := range []*kerr.Error{kerr.NotLeaderForPartition, kerr.RequestTimedOut, kerr.NotEnoughReplicasAfterAppend, kerr.KafkaStorageError} {
		c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: answer, Count: 1})
		if err := s.Send(t.Context(), []rules.Record{record("dev1", 2*i, `1`), record("dev1", 2*i+1, `2`)}); err != nil {
			t.Errorf("%s: %v", answer.Message, err)
		}
	}
	if got := count(t, c, "t"); got != 8 {
		t.Errorf("%d messages, want 8", got)
	}
}

func TestMissingTopics(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	e := env(t, brokers(c.ListenAddrs()))
	err := open(t, e, `{"connector":"c1","topic":"nope"}`).Send(t.Context(), []rules.Record{record("dev1", 0, `{}`)})
	if class(err) != "unavailable" || !strings.Contains(err.Error(), "topic nope") {
		t.Errorf("a missing topic: %v", err)
	}
	made := open(t, e, `{"connector":"c1","topic":"${t}"}`)
	if err := made.Send(t.Context(), []rules.Record{record("dev1", 0, `{"t":"gone"}`)}); class(err) != "tried a few times" {
		t.Errorf("a missing topic that the message names: %v", err)
	}
	if err := made.Send(t.Context(), []rules.Record{record("dev1", 0, `{"t":"t"}`)}); err != nil {
		t.Errorf("the next message: %v", err)
	}
	c2 := cluster(t, kfake.AllowAutoTopicCreation())
	creating := open(t, env(t, brokers(c2.ListenAddrs(), `"createTopics":true`)), `{"connector":"c1","topic":"new"}`)
	if err := creating.Send(t.Context(), []rules.Record{record("dev1", 0, `{}`)}); err != nil {
		t.Errorf("with createTopics: %v", err)
	}
}

// Nothing of a batch goes out when one of its messages is too large; a broker that is stricter than the connector is
// found out message by message.
func TestTooLarge(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(1, "narrow"))
	e := env(t, brokers(c.ListenAddrs(), `"maxMessageBytes":5000`))
	s := open(t, e, `{"connector":"c1","topic":"t","compression":"none"}`)
	large := record("dev1", 1, `"`+strings.Repeat("x", 5000)+`"`)
	if err := s.Send(t.Context(), []rules.Record{record("dev1", 0, `1`), large, record("dev1", 2, `3`)}); class(err) != "permanent" {
		t.Errorf("%v", err)
	}
	if got := count(t, c, "t"); got != 0 {
		t.Errorf("%d messages went out", got)
	}
	if err := s.Send(t.Context(), []rules.Record{record("dev1", 1, `"`+strings.Repeat("x", 4700)+`"`)}); err != nil {
		t.Errorf("just small enough: %v", err)
	}
	narrow := "600"
	if err := c.CreateTopic("small", 1, map[string]string{"max.message.bytes": narrow}); err != nil {
		t.Fatal(err)
	}
	s = open(t, e, `{"connector":"c1","topic":"small","compression":"none"}`)
	batch := []rules.Record{record("dev1", 0, `1`), record("dev1", 1, `"`+strings.Repeat("x", 1000)+`"`)}
	for name, tt := range map[string]struct {
		records []rules.Record
		want    string
	}{"both": {batch, "permanent"}, "the small one": {batch[:1], "delivered"}, "the large one": {batch[1:], "permanent"}} {
		if err := s.Send(t.Context(), tt.records); class(err) != tt.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A cluster that takes requests and never answers must not hold a delivery beyond its time, nor beyond its context.
func TestNoAnswer(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	e := env(t, `{"brokers":["`+ln.Addr().String()+`"],"timeoutSeconds":1}`)
	s := open(t, e, `{"connector":"c1","topic":"t"}`)
	begun := time.Now()
	if err := s.Send(t.Context(), []rules.Record{record("dev1", 0, `1`)}); class(err) != "unavailable" {
		t.Errorf("%v", err)
	}
	if took := time.Since(begun); took > harness.Promised(10*time.Second) {
		t.Errorf("it took %v", took)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Send(ctx, []rules.Record{record("dev1", 0, `1`)}); err == nil {
		t.Error("delivered after the end")
	}
}

// What is in flight when its time is up is given back too, and the next delivery works.
func TestNoAnswerInFlight(t *testing.T) {
	c := cluster(t)
	s := open(t, env(t, brokers(c.ListenAddrs(), `"clientId":"x"`)), `{"connector":"c1","topic":"t"}`)
	if err := s.Send(t.Context(), []rules.Record{record("dev1", 0, `0`)}); err != nil {
		t.Fatal(err)
	}
	gate := make(chan struct{})
	held := make(chan struct{}, 64)
	c.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		held <- struct{}{}
		c.SleepControl(func() { <-gate })
		return nil, nil, false
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Send(ctx, []rules.Record{record("dev1", 1, `1`)}) }()
	<-held
	cancel()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("a cancelled delivery does not end")
	}
	close(gate)
	for i := range 10 {
		if err := s.Send(t.Context(), []rules.Record{record("dev1", 2+i, strconv.Itoa(2+i))}); err == nil {
			return
		}
	}
	t.Error("no delivery works afterwards")
}

func TestNobodyThere(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	addrs := c.ListenAddrs()
	e := env(t, brokers(addrs))
	s := open(t, e, `{"connector":"c1","topic":"t"}`)
	if err := s.Send(t.Context(), []rules.Record{record("dev1", 0, `1`)}); err != nil {
		t.Fatal(err)
	}
	c.Close()
	if err := s.Send(t.Context(), []rules.Record{record("dev1", 1, `1`)}); class(err) != "unavailable" {
		t.Errorf("a cluster that left: %v", err)
	}
	fresh := env(t, brokers(addrs))
	err := open(t, fresh, `{"connector":"c1","topic":"t"}`).Send(t.Context(), []rules.Record{record("dev1", 1, `1`)})
	if class(err) != "unavailable" || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("a cluster that is not there: %v", err)
	}
	conn := connection(t, fresh)
	if err := conn.Ping(t.Context()); class(err) != "unavailable" || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("Ping: %v", err)
	}
	_ = conn.Close() // never fails
	if err := open(t, fresh, `{"connector":"c1","topic":"t"}`).Send(t.Context(), []rules.Record{record("dev1", 1, `1`)}); class(err) != "unavailable" {
		t.Errorf("a connector that was replaced: %v", err)
	}
}

// The way out is asked for every address, those that brokers tell too.
func TestForbiddenAddress(t *testing.T) {
	t.Parallel()
	c := cluster(t)
	_, port, _ := net.SplitHostPort(c.ListenAddrs()[0]) // a listener's
	conn, err := ConnectorKind().Open(json.RawMessage(`{"brokers":["localhost:`+port+`"],"timeoutSeconds":2}`), outbound.New(outbound.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.Ping(t.Context()); !errors.Is(err, outbound.ErrLocal) || class(err) != "permanent" {
		t.Errorf("Ping: %v", err)
	}
	s := &Sink{}
	*s = *open(t, env(t, brokers(c.ListenAddrs())), `{"connector":"c1","topic":"t"}`)
	s.connector = handle{conn: conn}
	if err := s.Send(t.Context(), []rules.Record{record("dev1", 0, `1`)}); !errors.Is(err, outbound.ErrLocal) || class(err) != "permanent" {
		t.Errorf("Send: %v", err)
	}
}

func connection(t testing.TB, e rules.Env) rules.Connection {
	t.Helper()
	h, err := e.Connector(Kind, "c1")
	if err != nil {
		t.Fatal(err)
	}
	return h.(handle).conn
}

// TestOrder has partitions fail at random in the middle of batches, and the sender repeat what failed as the rules do: each
// device's messages must be there in order, and what repeats may only go back to the start of a batch.
func TestOrder(t *testing.T) {
	t.Parallel()
	const devices, batches, perDevice = 20, 40, 3
	c := cluster(t)
	s := open(t, env(t, brokers(c.ListenAddrs())), `{"connector":"c1","topic":"t"}`)
	n := 0
	for _, answer := range []*kerr.Error{kerr.RequestTimedOut, kerr.NotLeaderForPartition, kerr.CorruptMessage, kerr.KafkaStorageError, kerr.UnknownServerError} {
		for p := range 3 {
			c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: answer, Count: 2 + p, Topic: "t", Partitions: []int32{int32(p)},
				When: func(kmsg.Request) bool { n++; return n%3 == 0 }})
		}
	}
	failed := 0
	for b := range batches {
		var batch []rules.Record
		for d := range devices {
			for i := range perDevice {
				batch = append(batch, record("dev"+strconv.Itoa(d), b*perDevice+i, strconv.Itoa(b*perDevice+i)))
			}
		}
		for s.Send(t.Context(), batch) != nil {
			if failed++; failed > 100 {
				t.Fatal("it fails for ever")
			}
		}
	}
	if failed == 0 {
		t.Fatal("no batch failed: the test tests nothing")
	}
	messages := read(t, c.ListenAddrs(), int(count(t, c, "t")), "t")
	if err := inOrder(messages, perDevice, batches*perDevice); err != nil {
		t.Error(err)
	}
	t.Logf("%d messages for %d records, %d sends failed", len(messages), devices*batches*perDevice, failed)
}

// inOrder verifies that each device's numbers go up by one, but for returns to the start of the batch that they are in, and that
// all want are there.
func inOrder(messages []*kgo.Record, batch, want int) error {
	next := map[string]int{}
	partition := map[string]int32{}
	for _, m := range messages {
		device := string(m.Key)
		got, err := strconv.Atoi(string(m.Value))
		if err != nil {
			return err
		}
		if p, ok := partition[device]; ok && p != m.Partition {
			return fmt.Errorf("%s is in two partitions", device)
		}
		partition[device] = m.Partition
		expected := next[device]
		if again := (expected - 1) / batch * batch; got != expected && got != again {
			return fmt.Errorf("%s: %d follows %d", device, got, expected-1)
		}
		next[device] = got + 1
	}
	for device, n := range next {
		if n != want {
			return fmt.Errorf("%s ends with %d of %d", device, n, want)
		}
	}
	return nil
}
