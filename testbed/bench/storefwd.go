package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/hawser-iot/hawser/edge-agent/buffer"
)

// storeTopic and 180 bytes of payload are a record of 200 bytes.
const storeTopic = "/70ly1tv/me-1/upload"

// storeForward measures how many bytes reach the disk for a record that the agent keeps, beside bbolt: the kernel's count of the block device that the
// folder is on, an ext4 of its own in a file, journal included. Batch is how many records share a commit.
func storeForward(e *env) {
	n := 20_000
	switch {
	case e.full:
		n = 100_000
	case e.smoke:
		n = 400
	}
	dev := newStoreDevice(e)
	fmt.Printf("records of 200 bytes on %s; first: into new files, all kept; carried: into files that were filled and emptied, each removed after its commit\n", dev.what)
	fmt.Printf("%-8s %-34s %14s %14s\n", "batch", "", "first, B", "carried, B")
	var ours, peer series
	for _, batch := range []int{1, 10, 100, 1000} {
		count := max(min(n, n*batch/10)/batch, 2) * batch
		for _, s := range []struct {
			name string
			open func(e *env, dir string, batch int) keeper
		}{
			{"segments", openLog}, {"bbolt, as it comes", openBolt(false)}, {"bbolt, map freelist not synced, full pages", openBolt(true)},
		} {
			var first, carried series
			for range e.rounds {
				dir := dev.dir(e)
				st := s.open(e, dir, batch)
				a := dev.cost(e, count, func() { st.put(e, count, batch, false) })
				st.clear(e)
				b := dev.cost(e, count, func() { st.put(e, count, batch, true) })
				first, carried = append(first, a), append(carried, b)
				st.close(e)
				must(e, os.RemoveAll(dir))
			}
			fmt.Printf("%-8d %-34s %14.0f %14.0f\n", batch, s.name, first.median(), carried.median())
			switch {
			case batch == 1 && s.name == "segments":
				ours = first
			case batch == 1 && strings.HasPrefix(s.name, "bbolt, as"):
				peer = first
			}
		}
	}
	result("store_fwd", ours, peer, "bytes")
}

// keeper keeps records; put adds n of them in commits of batch.
type keeper interface {
	put(e *env, n, batch int, remove bool)
	clear(e *env)
	close(e *env)
}

// logStore is the agent's buffer.
type logStore struct {
	b    *buffer.Buffer
	s    *buffer.Stream
	stop func()
	last uint64 // number of the last record
}

func openLog(e *env, dir string, batch int) keeper {
	b, err := buffer.Open(buffer.Config{Dir: filepath.Join(dir, "b"), MaxBytes: 128 << 20, SegmentBytes: 1 << 20, Streams: []buffer.StreamConfig{
		{Name: "messages", CommitEvery: time.Minute, CommitMax: batch},
	}}, slog.New(slog.DiscardHandler))
	must(e, err)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { must(e, b.Run(ctx)) })
	return &logStore{b: b, s: b.Stream("messages"), stop: func() { cancel(); wg.Wait() }}
}

func (l *logStore) put(e *env, n, batch int, remove bool) {
	payload := make([]byte, 180)
	for range n / batch {
		var wg sync.WaitGroup
		wg.Add(batch)
		for range batch {
			l.s.Append(buffer.Record{Topic: storeTopic, Payload: payload, QoS: 1, Time: time.Now()}, func(err error) { must(e, err); wg.Done() })
		}
		wg.Wait()
		for range batch {
			if l.last++; remove {
				l.s.Remove(l.last)
			}
		}
	}
}

// clear removes all records.
func (l *logStore) clear(*env) {
	for n := range l.last {
		l.s.Remove(n + 1)
	}
}

func (l *logStore) close(e *env) {
	l.stop()
	must(e, l.b.Close())
}

// boltStore is a bucket of records in a bbolt file, by their numbers.
type boltStore struct {
	db   *bbolt.DB
	full bool // pages are filled, since keys only grow
}

var boltBucket = []byte("records")

func openBolt(tuned bool) func(e *env, dir string, batch int) keeper {
	return func(e *env, dir string, _ int) keeper {
		o := *bbolt.DefaultOptions
		if tuned {
			o.NoFreelistSync, o.FreelistType = true, bbolt.FreelistMapType
		}
		db, err := bbolt.Open(filepath.Join(dir, "b"), 0o600, &o)
		must(e, err)
		must(e, db.Update(func(tx *bbolt.Tx) error { _, err := tx.CreateBucket(boltBucket); return err }))
		return &boltStore{db, tuned}
	}
}

// put removes a commit's records in the next one, which costs less than a commit of its own.
func (s *boltStore) put(e *env, n, batch int, remove bool) {
	value := make([]byte, 12+len(storeTopic)+180)
	for range n / batch {
		must(e, s.db.Update(func(tx *bbolt.Tx) error {
			b := tx.Bucket(boltBucket)
			if s.full {
				b.FillPercent = 1
			}
			last := b.Sequence()
			for k := last; remove && k > 0 && k+uint64(batch) > last; k-- {
				must(e, b.Delete(binary.BigEndian.AppendUint64(nil, k)))
			}
			for range batch {
				seq, err := b.NextSequence()
				must(e, err)
				must(e, b.Put(binary.BigEndian.AppendUint64(nil, seq), value))
			}
			return nil
		}))
	}
}

func (s *boltStore) clear(e *env) {
	must(e, s.db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket(boltBucket).ForEach(func(k, _ []byte) error { return tx.Bucket(boltBucket).Delete(k) })
	}))
}

func (s *boltStore) close(e *env) { must(e, s.db.Close()) }

// storeDevice counts what is written to a folder's block device.
type storeDevice struct {
	what, path string
	written    func(e *env) float64
	n          int
}

// newStoreDevice mounts an ext4 of its own, so that nobody else's writes are counted; without the right to, it counts what this process has made dirty,
// which leaves out the journal.
func newStoreDevice(e *env) *storeDevice {
	dir := e.TempDir()
	image, mount := filepath.Join(dir, "image"), filepath.Join(dir, "mount")
	must(e, os.Mkdir(mount, 0o700))
	must(e, os.WriteFile(image, nil, 0o600))
	must(e, os.Truncate(image, 1<<30))
	if out, err := exec.Command("sh", "-c", "mkfs.ext4 -q -F "+image+" && mount -o loop "+image+" "+mount).CombinedOutput(); err != nil {
		e.Logf("no file system of its own (%v: %s): counting /proc/self/io", err, out)
		return &storeDevice{what: "the folder for temporary files, /proc/self/io", path: dir, written: dirtied}
	}
	e.Cleanup(func() { _ = exec.Command("umount", mount).Run() })
	name := filepath.Base(strings.TrimSpace(command(e, "", "findmnt", "-no", "SOURCE", mount)))
	return &storeDevice{what: "ext4 on a loop device", path: mount, written: func(e *env) float64 {
		b, err := os.ReadFile("/sys/block/" + name + "/stat")
		must(e, err)
		sectors, err := strconv.ParseFloat(strings.Fields(string(b))[6], 64)
		must(e, err)
		return sectors * 512
	}}
}

func dirtied(e *env) float64 {
	b, err := os.ReadFile("/proc/self/io")
	must(e, err)
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "write_bytes: "); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
			must(e, err)
			return n
		}
	}
	e.Fatalf("no write_bytes in /proc/self/io")
	return 0
}

func (d *storeDevice) dir(e *env) string {
	d.n++
	dir := filepath.Join(d.path, strconv.Itoa(d.n))
	must(e, os.Mkdir(dir, 0o700))
	return dir
}

// cost is the bytes for each of n records that f keeps.
func (d *storeDevice) cost(e *env, n int, f func()) float64 {
	command(e, "", "sync", "-f", d.path)
	before := d.written(e)
	f()
	command(e, "", "sync", "-f", d.path)
	return (d.written(e) - before) / float64(n)
}
