package boot

import (
	"fmt"
	"io"
	"net"
	"os"
)

// envForward makes a program that calls Forwarded carry one connection between its standard input and output and an address, which is how the machine's
// network reaches the host: qemu starts a program for each connection.
const envForward = "HAWSER_TESTBED_FORWARD"

// Forward is the command that carries connections to an address of the host.
func Forward(to string) string {
	return fmt.Sprintf("/usr/bin/env %s=%s %s", envForward, to, os.Args[0])
}

// Forwarded carries a connection, if this program was started for that, and tells so.
func Forwarded() bool {
	to := os.Getenv(envForward)
	if to == "" {
		return false
	}
	c, err := net.Dial("tcp", to)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return true
	}
	defer c.Close()
	go func() {
		_, _ = io.Copy(c, os.Stdin) // an end in either way ends both
		_ = c.Close()
	}()
	_, _ = io.Copy(os.Stdout, c)
	return true
}
