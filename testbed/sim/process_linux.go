package main

import "syscall"

// processAttributes puts a program into its own process group and makes the
// kernel end it when the demo is killed.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
