package agent

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/hawser-iot/hawser/edge-agent/buffer"
	"github.com/hawser-iot/hawser/edge-agent/uplink"
	"github.com/hawser-iot/hawser/protocol/topic"
)

// BufferStream is a stream of the buffer for some of the messages. Keys that are absent are as the section buffer has them.
type BufferStream struct {
	Name string `yaml:"name"`
	// Topics are the filters of what goes here: of a message that fits several streams the first one. Routes may name the stream too.
	Topics []string `yaml:"topics"`
	// Priority, 0 to 255, decides who is sent first and who gives way for the common room.
	Priority    int      `yaml:"priority"`
	MaxBytes    Size     `yaml:"max_bytes"` // of this stream alone; absent, as much as there is
	CommitEvery Duration `yaml:"commit_every"`
	Durability  string   `yaml:"durability"`
	WhenFull    string   `yaml:"when_full"`
	TTL         Duration `yaml:"ttl"`
}

// Bounds of the section buffer.
const (
	maxStreams     = 16
	minStreamBytes = 64 << 10
)

// first is the stream that the section itself describes.
func (b *Buffer) first() BufferStream {
	return BufferStream{Name: buffer.DefaultStream, Priority: b.Priority, CommitEvery: b.CommitEvery, Durability: b.Durability, WhenFull: b.WhenFull, TTL: b.TTL}
}

// filled is a stream with what it has of the section.
func (b *Buffer) filled(s BufferStream) BufferStream {
	if s.CommitEvery == 0 {
		s.CommitEvery = b.CommitEvery
	}
	if s.Durability == "" {
		s.Durability = b.Durability
	}
	if s.WhenFull == "" {
		s.WhenFull = b.WhenFull
	}
	if s.TTL == 0 {
		s.TTL = b.TTL
	}
	return s
}

// Stream is the stream of that name as it is in force; ok is false when the configuration has none.
func (b *Buffer) Stream(name string) (s BufferStream, ok bool) {
	if name == buffer.DefaultStream {
		return b.first(), true
	}
	for _, s := range b.Streams {
		if s.Name == name {
			return b.filled(s), true
		}
	}
	return s, false
}

func (b *Buffer) validate() error {
	if err := b.first().validate("buffer."); err != nil {
		return err
	}
	if len(b.Streams) > maxStreams {
		return fmt.Errorf("buffer.streams: more than %d", maxStreams)
	}
	seen := map[string]bool{buffer.DefaultStream: true}
	for i, s := range b.Streams {
		key := fmt.Sprintf("buffer.streams[%d].", i)
		if seen[s.Name] {
			return fmt.Errorf("%sname: %s is there twice, or that of the section itself", key, s.Name)
		}
		seen[s.Name] = true
		if err := b.filled(s).validate(key); err != nil {
			return err
		}
		if s.MaxBytes != 0 && (s.MaxBytes < minStreamBytes || s.MaxBytes > b.MaxBytes) {
			return fmt.Errorf("%smax_bytes: %d is outside 64KiB..buffer.max_bytes", key, s.MaxBytes)
		}
		for k, f := range s.Topics {
			if err := topic.ValidFilter(f); err != nil {
				return fmt.Errorf("%stopics[%d]: %q: %w", key, k, f, err)
			}
		}
	}
	return nil
}

// validate names the key, below key, that can't be right.
func (s BufferStream) validate(key string) error {
	switch {
	case !buffer.ValidName(s.Name):
		return fmt.Errorf("%sname: %q: want up to 32 characters of a-z 0-9 -, not - first", key, s.Name)
	case s.Priority < 0 || s.Priority > 255:
		return fmt.Errorf("%spriority: %d is outside 0..255", key, s.Priority)
	case s.CommitEvery <= 0 || s.CommitEvery > Duration(time.Second):
		return fmt.Errorf("%scommit_every: %s is outside 0..1s", key, time.Duration(s.CommitEvery))
	case !slices.Contains([]string{string(buffer.Sync), string(buffer.Group), string(buffer.RAM)}, s.Durability):
		return fmt.Errorf("%sdurability: %q is none of sync, group, ram", key, s.Durability)
	case !slices.Contains([]string{string(buffer.DropOldest), string(buffer.RejectNew), string(buffer.ThinOut)}, s.WhenFull):
		return fmt.Errorf("%swhen_full: %q is none of drop-oldest, reject-new, thin-out", key, s.WhenFull)
	case s.TTL < 0:
		return errors.New(key + "ttl: less than nothing")
	}
	return nil
}

// buffer is the stream as the buffer takes it.
func (s BufferStream) buffer() buffer.StreamConfig {
	return buffer.StreamConfig{
		Name: s.Name, Priority: s.Priority, MaxBytes: int64(s.MaxBytes), CommitEvery: time.Duration(s.CommitEvery),
		Durability: buffer.Durability(s.Durability), WhenFull: buffer.WhenFull(s.WhenFull), TTL: time.Duration(s.TTL),
	}
}

// buffer returns the configuration of the buffer.
func (c *Config) buffer() buffer.Config {
	bc := buffer.Config{
		Dir: c.BufferDir(), MaxBytes: int64(c.Buffer.MaxBytes), AckedRetain: time.Duration(c.Buffer.AckedRetain),
		Legacy:  filepath.Join(c.Data, "uplink.db"), // of agents before the log
		Streams: []buffer.StreamConfig{c.Buffer.first().buffer()},
	}
	for _, s := range c.Buffer.Streams {
		bc.Streams = append(bc.Streams, c.Buffer.filled(s).buffer())
	}
	return bc
}

// uplink are the streams beside the first one, in the order of the configuration, those of earlier configurations behind.
func (b *Buffer) uplink(buf *buffer.Buffer) (list []uplink.Stream) {
	known := map[string]bool{buffer.DefaultStream: true}
	for _, s := range b.Streams {
		known[s.Name] = true
		list = append(list, uplink.Stream{Buffer: buf.Stream(s.Name), Topics: s.Topics})
	}
	for _, s := range buf.Streams() {
		if !known[s.Name()] {
			list = append(list, uplink.Stream{Buffer: s})
		}
	}
	return list
}

// streamNames are those that a route may name.
func (b *Buffer) streamNames() []string {
	names := []string{buffer.DefaultStream}
	for _, s := range b.Streams {
		names = append(names, s.Name)
	}
	return names
}

// buffered are the counters of all streams.
func (a *Agent) buffered() (sum buffer.Stats) {
	for _, s := range a.buf.Streams() {
		sum.Add(s.Stats())
	}
	return sum
}
