package emulated

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
)

// monitor speaks QMP with one QEMU process, over a pair of sockets that nobody else can reach.
type monitor struct {
	conn    net.Conn
	mu      sync.Mutex // one command at a time
	enc     *json.Encoder
	answers chan answer
	done    chan struct{} // closed when QEMU is gone
	ending  string        // why the guest ended, as SHUTDOWN says; read after done
}

type answer struct {
	Return json.RawMessage `json:"return"`
	Error  *struct {
		Desc string `json:"desc"`
	} `json:"error"`
	Event string `json:"event"`
	Data  struct {
		Reason string `json:"reason"`
	} `json:"data"`
}

// newMonitor gives our end, and the file that QEMU inherits.
func newMonitor() (*monitor, *os.File, error) {
	syscall.ForkLock.RLock() // no process is started in between, which would inherit both ends
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(pair[0])
		syscall.CloseOnExec(pair[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, fmt.Errorf("QMP: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "qmp"), os.NewFile(uintptr(pair[1]), "qmp of QEMU")
	conn, err := net.FileConn(ours)
	ours.Close()
	if err != nil {
		theirs.Close()
		return nil, nil, fmt.Errorf("QMP: %w", err)
	}
	m := &monitor{conn: conn, enc: json.NewEncoder(conn), answers: make(chan answer), done: make(chan struct{})}
	return m, theirs, nil
}

// read passes answers on and keeps what matters of events, until QEMU is gone.
func (m *monitor) read() {
	defer close(m.done)
	defer m.conn.Close()
	for dec := json.NewDecoder(m.conn); ; {
		var a answer
		if dec.Decode(&a) != nil {
			return
		}
		switch {
		case a.Event == "SHUTDOWN":
			m.ending = a.Data.Reason
		case a.Return != nil || a.Error != nil:
			m.answers <- a
		}
	}
}

// do runs one command. Its answer must be awaited before the next, which the lock sees to.
func (m *monitor) do(command string, arguments any) (json.RawMessage, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	request := map[string]any{"execute": command}
	if arguments != nil {
		request["arguments"] = arguments
	}
	if err := m.enc.Encode(request); err != nil {
		return nil, fmt.Errorf("QMP %s: %w", command, err)
	}
	select {
	case a := <-m.answers:
		if a.Error != nil {
			return nil, fmt.Errorf("QMP %s: %s", command, a.Error.Desc)
		}
		return a.Return, nil
	case <-m.done:
		return nil, fmt.Errorf("QMP %s: QEMU is gone", command)
	}
}

// human runs a command of the monitor for people, whose answer is a text.
func (m *monitor) human(line string) (string, error) {
	out, err := m.do("human-monitor-command", map[string]string{"command-line": line})
	if err != nil {
		return "", err
	}
	var text string
	if err := json.Unmarshal(out, &text); err != nil {
		return "", fmt.Errorf("QMP %s: %w", line, err)
	}
	return text, nil
}
