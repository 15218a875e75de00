//go:build !unix

package pool

import (
	"os"
	"syscall"
)

func attributes() *syscall.SysProcAttr { return nil }

// killed is not known here: a death is the fault of what ran.
func killed(*os.ProcessState) bool { return false }
