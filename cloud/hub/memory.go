package hub

import (
	"context"
	"runtime/debug"
	"time"
)

const (
	// settleTime is how often logins are counted: a burst is over when hardly any came in one such time.
	settleTime = 2 * time.Second
	// burst is how many logins leave behind enough to look after: each about 10 KB of garbage and of heap that grew for it.
	burst = 1000
	// releasePause is the least time between two releases, since each is a whole collection.
	releasePause = time.Minute
)

// memoryKeeper gives memory back to the system after a burst of logins, a restart's or a network's return. What logging in leaves
// behind is several times what an idle connection keeps, and a hub whose devices are quiet allocates too little for the collector to run soon.
type memoryKeeper struct {
	logins  func() uint64 // how many there were
	release func()
	before  uint64 // logins at the last look
	pending uint64 // logins since the last release
	last    time.Time
}

func newMemoryKeeper(logins func() uint64) *memoryKeeper {
	return &memoryKeeper{logins: logins, release: debug.FreeOSMemory}
}

// run looks until ctx ends.
func (k *memoryKeeper) run(ctx context.Context) error {
	t := time.NewTicker(settleTime)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-t.C:
			k.look(now)
		}
	}
}

// look releases memory when many have logged in since the last time and hardly any do now.
func (k *memoryKeeper) look(now time.Time) {
	all := k.logins()
	fresh := all - k.before
	k.before = all
	k.pending += fresh
	if k.pending < burst || fresh > k.pending/100 || now.Sub(k.last) < releasePause {
		return
	}
	k.release()
	k.pending, k.last = 0, now
}
