package kafkasink

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/testbed/harness"
)

// What kcat prints of a message, as far as we look.
type printed struct {
	Topic     string
	Partition int32
	TS        int64
	Headers   []string
	Key       string
	Payload   string
}

// kcatRead reads a topic with a client that we did not write.
func kcatRead(t *testing.T, addrs []string, topic string, args ...string) []printed {
	t.Helper()
	out := harness.Kcat(t, append([]string{"-b", strings.Join(addrs, ","), "-C", "-t", topic, "-o", "beginning", "-e", "-q", "-J"}, args...)...)
	var list []printed
	for line := range strings.Lines(out) {
		var p printed
		if err := json.Unmarshal([]byte(line), &p); err != nil {
			t.Fatalf("kcat said %q: %v", line, err)
		}
		list = append(list, p)
	}
	return list
}

// TestKcatReads has another client read what the sink wrote, with every codec, through brokers of two makes.
func TestKcatReads(t *testing.T) {
	t.Parallel()
	for name, addrs := range map[string][]string{"kfake": cluster(t, kfake.SeedTopics(4, "none", "gzip", "snappy", "lz4", "zstd")).ListenAddrs(),
		"librdkafka": harness.LibrdkafkaCluster(t)} {
		e := env(t, brokers(addrs, `"createTopics":true`, `"version":"2.3"`)) // librdkafka's brokers do not read newer ApiVersions requests
		if err := connection(t, e).Ping(t.Context()); err != nil {
			t.Errorf("%s: Ping: %v", name, err)
		}
		for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
			t.Run(name+"/"+codec, func(t *testing.T) {
				s := open(t, e, `{"connector":"c1","topic":"`+codec+`","compression":"`+codec+`","headers":{"n":"${n}"}}`)
				var batch []rules.Record
				for i := range 200 {
					batch = append(batch, record("dev"+strconv.Itoa(i%7), i, fmt.Sprintf(`{"n":%d,"text":"the same for all, so that it can be compressed"}`, i)))
				}
				if err := s.Send(t.Context(), batch); err != nil {
					t.Fatal(err)
				}
				got := kcatRead(t, addrs, codec)
				if len(got) != len(batch) {
					t.Fatalf("%d messages, want %d", len(got), len(batch))
				}
				last := map[string]int{}
				for _, m := range got {
					n, err := strconv.Atoi(m.Headers[len(m.Headers)-1])
					if err != nil {
						t.Fatalf("headers %q", m.Headers)
					}
					r := batch[n]
					if m.Key != r.Device.String() || m.Payload != string(r.Result) || m.TS != r.Time.UnixMilli() ||
						m.Headers[0] != keyHeader || m.Headers[1] != r.Key() || m.Headers[3] != r.MessageID.String() {
						t.Errorf("got %+v for %+v", m, r)
					}
					if before, ok := last[m.Key]; ok && n != before+7 {
						t.Errorf("%s: %d follows %d", m.Key, n, before)
					}
					last[m.Key] = n
				}
			})
		}
	}
}

// TestPartitioners compares where keys go with where librdkafka, whose partitioners bear these names, puts them.
func TestPartitioners(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(11, "murmur2", "crc32", "fnv1a", "roundRobin", "k-murmur2", "k-crc32", "k-fnv1a"))
	e := env(t, brokers(c.ListenAddrs()))
	var lines strings.Builder
	var batch []rules.Record
	for i := range 60 {
		r := record("device-"+strconv.Itoa(i), i, "1")
		batch = append(batch, r)
		fmt.Fprintf(&lines, "%s;1\n", r.Device)
	}
	for ours, theirs := range map[string]string{"murmur2": "murmur2", "crc32": "consistent", "fnv1a": "fnv1a"} {
		if err := open(t, e, `{"connector":"c1","topic":"`+ours+`","partitioner":"`+ours+`"}`).Send(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		harness.KcatWrite(t, lines.String(), "-b", c.ListenAddrs()[0], "-P", "-t", "k-"+ours, "-K", ";", "-X", "topic.partitioner="+theirs)
		want := map[string]int32{}
		for _, m := range kcatRead(t, c.ListenAddrs(), "k-"+ours) {
			want[m.Key] = m.Partition
		}
		for _, m := range read(t, c.ListenAddrs(), len(batch), ours) {
			if p, ok := want[string(m.Key)]; !ok || p != m.Partition {
				t.Errorf("%s: %s is in partition %d, librdkafka has it in %d (%v)", ours, m.Key, m.Partition, p, ok)
			}
		}
	}
	if err := open(t, e, `{"connector":"c1","topic":"roundRobin","partitioner":"roundRobin"}`).Send(t.Context(), batch[:11]); err != nil {
		t.Fatal(err)
	}
	for _, p := range c.PartitionInfos("roundRobin") {
		if p.HighWatermark != 1 {
			t.Errorf("roundRobin: partition %d has %d messages, want 1", p.Partition, p.HighWatermark)
		}
	}
}
