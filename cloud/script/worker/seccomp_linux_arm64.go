package worker

import "golang.org/x/sys/unix"

const auditArch = unix.AUDIT_ARCH_AARCH64

// callsOfArch are those that only this machine has.
var callsOfArch []uint32
