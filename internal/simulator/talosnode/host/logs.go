package host

import (
	"io"
	"sync"
)

// Logs are the logs of a node's services, kept in memory as Talos does, for one boot.
type Logs struct {
	mu   sync.Mutex
	logs map[string]*ring
}

// NewLogs makes empty logs.
func NewLogs() *Logs { return &Logs{logs: map[string]*ring{}} }

// Service gives the log of a service, registered from now on. A Write is one or more whole lines.
func (l *Logs) Service(id string) io.Writer {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.logs[id] == nil {
		l.logs[id] = &ring{}
	}
	return l.logs[id]
}

// Dmesg is the kernel log of one boot.
type Dmesg struct{ ring ring }

// NewDmesg makes an empty kernel log.
func NewDmesg() *Dmesg { return &Dmesg{} }

// Kernel logs a message of the kernel, User one of Talos itself ("user: warning: … [talos] …").
func (d *Dmesg) Kernel(message string) {}

// User logs what Talos writes to the console.
func (d *Dmesg) User(message string) {}

type ring struct{}

func (r *ring) Write(p []byte) (int, error) { return len(p), nil }
