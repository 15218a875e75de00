//go:build unix

package trial

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// How long a lock is waited for: whoever has it writes a few small files, on a flash that may be slow.
const (
	lockWait = 30 * time.Second
	lockPoll = 10 * time.Millisecond
)

// lock holds off every other change of the files of path, by other processes too, until unlock is called or this process ends. It is on their folder, so
// that nothing is left behind. A file system that knows no locks does without.
func (d disk) lock(path string) (unlock func(), err error) {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("trial: %w", err)
	}
	unlock = func() { _ = dir.Close() } // which gives the lock up
	wait := d.wait
	if wait == 0 {
		wait = lockWait
	}
	for late := time.Now().Add(wait); ; time.Sleep(lockPoll) {
		err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return unlock, nil
		}
		if time.Now().After(late) {
			unlock()
			return nil, fmt.Errorf("%w: %s is locked by another process", ErrRunning, dir.Name())
		}
	}
}
