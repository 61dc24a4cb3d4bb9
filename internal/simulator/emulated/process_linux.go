package emulated

import "syscall"

// dieWithUs ends a process when the thread that started it ends: a test that is killed leaves no machine behind.
func dieWithUs() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
