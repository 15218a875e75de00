//go:build !linux

package main

import "syscall"

// processAttributes puts a program into its own process group.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
