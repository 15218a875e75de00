//go:build unix

package server_test

import (
	"sync"
	"syscall"
	"testing"
)

// exhaust lets the process open no file more, until release. What is closed meanwhile may be opened again.
func exhaust(tb testing.TB) (release func()) {
	tb.Helper()
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
		tb.Fatal(err)
	}
	lowest, err := syscall.Dup(0)
	if err != nil {
		tb.Fatal(err)
	}
	_ = syscall.Close(lowest)
	none := was
	none.Cur = uint64(lowest)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none); err != nil {
		tb.Fatal(err)
	}
	var held []int
	for {
		extra, err := syscall.Dup(0)
		if err != nil {
			break
		}
		held = append(held, extra)
	}
	release = sync.OnceFunc(func() {
		for _, fd := range held {
			_ = syscall.Close(fd)
		}
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
			tb.Error(err)
		}
	})
	tb.Cleanup(release)
	return release
}
