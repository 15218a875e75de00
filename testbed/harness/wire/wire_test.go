package wire

import (
	"bufio"
	"net"
	"testing"
	"time"
)

// echo answers each line with itself.
func echo(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for r := bufio.NewReader(c); ; {
					line, err := r.ReadString('\n')
					if err != nil {
						return
					}
					_, _ = c.Write([]byte(line))
				}
			}()
		}
	}()
	return ln.Addr().String()
}

// ask says one line over a new connection and waits for the answer.
func ask(addr string, patience time.Duration) error {
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := c.Write([]byte("hello\n")); err != nil {
		return err
	}
	_, err = bufio.NewReader(c).ReadString('\n')
	return err
}

func TestFaultsAndMending(t *testing.T) {
	w := To(t, echo(t))
	if err := ask(w.Addr, time.Minute); err != nil {
		t.Fatalf("whole wire: %v", err)
	}
	for name, fault := range map[string]func(){"cut": w.Cut, "reset": w.Reset, "stall": w.Stall, "deafen": w.Deafen,
		"bound": func() { w.Bound(3) }} {
		fault()
		if err := ask(w.Addr, 300*time.Millisecond); err == nil {
			t.Errorf("%s: got an answer", name)
		}
		w.Mend()
		if err := ask(w.Addr, time.Minute); err != nil {
			t.Errorf("after %s: %v", name, err)
		}
	}
}
