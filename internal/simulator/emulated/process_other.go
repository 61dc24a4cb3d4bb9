//go:build !linux

package emulated

import "syscall"

// dieWithUs can be promised on Linux only.
func dieWithUs() *syscall.SysProcAttr { return nil }
