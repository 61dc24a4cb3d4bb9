//go:build unix

package demo

import (
	"os"
	"syscall"
)

// lock has the file for this process alone until it is closed, false if another process has it.
func lock(f *os.File) bool { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil }
