package leak

import (
	"strings"
	"testing"
	"time"
)

func stay(until <-chan struct{}) { <-until }

func TestFind(t *testing.T) {
	end, soon := make(chan struct{}), make(chan struct{})
	go stay(end)
	if err := Find(0); err == nil || !strings.Contains(err.Error(), "leak.stay") {
		t.Errorf("one that stays: %v", err)
	}
	close(end)
	go stay(soon)
	time.AfterFunc(time.Second, func() { close(soon) }) // goleak itself has no patience for that long
	if err := Find(time.Minute); err != nil {
		t.Errorf("one that ends in a second: %v", err)
	}
}
