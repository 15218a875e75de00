package kafkasink

import (
	"hash/crc32"
	"hash/fnv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

// partitioners are how a partition is chosen. All but roundRobin put equal keys into one partition; messages without a key go
// where there is room. The empty name is the first.
var partitioners = map[string]func() kgo.Partitioner{
	"":           murmur2,
	"murmur2":    murmur2, // as Kafka's own clients
	"crc32":      func() kgo.Partitioner { return kgo.StickyKeyPartitioner(crc32Hash) },
	"fnv1a":      func() kgo.Partitioner { return kgo.StickyKeyPartitioner(kgo.SaramaCompatHasher(fnv1a)) },
	"roundRobin": kgo.RoundRobinPartitioner,
}

func murmur2() kgo.Partitioner { return kgo.StickyKeyPartitioner(nil) }

// crc32Hash is what librdkafka calls consistent.
func crc32Hash(key []byte, partitions int) int {
	return int(crc32.ChecksumIEEE(key) % uint32(partitions)) //nolint:gosec // a number of partitions
}

// fnv1a is what Sarama hashes with.
func fnv1a(key []byte) uint32 {
	h := fnv.New32a()
	_, _ = h.Write(key) // never fails
	return h.Sum32()
}

// codecs are the compressions; a broker that does not know one gets the next. The empty name is the first.
var codecs = map[string][]kgo.CompressionCodec{
	"":       {kgo.SnappyCompression(), kgo.NoCompression()},
	"snappy": {kgo.SnappyCompression(), kgo.NoCompression()},
	"none":   {kgo.NoCompression()},
	"gzip":   {kgo.GzipCompression(), kgo.NoCompression()},
	"lz4":    {kgo.Lz4Compression(), kgo.NoCompression()},
	"zstd":   {kgo.ZstdCompression(), kgo.NoCompression()},
}

// software makes the name and version, of the letters that Kafka takes, of a user agent like hawser-hub/1.2.
func software(userAgent string) (name, version string) {
	name, version, _ = strings.Cut(userAgent, "/")
	clean := func(s, otherwise string) string {
		s = strings.Map(func(r rune) rune {
			if r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '.' {
				return r
			}
			return '-'
		}, s)
		if s = strings.Trim(s, "-."); s == "" {
			return otherwise
		}
		return s
	}
	return clean(name, "hawser"), clean(version, "0")
}
