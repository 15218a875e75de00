package trial

import "time"

// Disk is what changes the files, in hands of tests.
type Disk struct{ d disk }

// NewDisk asks before each change, and waits for a lock as long as wait.
func NewDisk(before func(what string) error, wait time.Duration) Disk {
	return Disk{disk{before, wait}}
}

func (d Disk) Begin(path string, next []byte, within time.Duration) error {
	return d.d.begin(path, next, within)
}

func (d Disk) Resume(path string) (*Trial, error) { return d.d.resume(path) }
