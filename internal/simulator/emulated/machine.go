package emulated

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// Boot is one start of a machine.
type Boot struct {
	Rescue bool // else its firmware looked for a disk
	At     time.Time
}

// Machine is one emulated server. It ends with its test.
type Machine struct {
	t       testing.TB
	options Options
	dir     string
	console *Console
	key     ssh.Signer // the test's own

	mu       sync.Mutex
	armed    []ssh.PublicKey // nil: the next boot goes to the disk
	hostKeys []ssh.PublicKey // of the last rescue system
	boots    []Boot
	wanted   ending        // what a kill from outside was for
	process  *exec.Cmd     // nil: off
	monitor  *monitor      // of process
	client   *ssh.Client   // the test's connection to the rescue system; nil, or it may be broken
	off      chan struct{} // closed while the machine is off
	next     chan struct{} // closed with the next boot
	dials    sync.Mutex
}

// ending says what follows when QEMU ends.
type ending int

const (
	byGuest ending = iota // as the guest's shutdown says
	powerOff
	reset
)

// New makes a machine that is off. Its disks are empty; it is gone when the test is.
func New(t testing.TB, o Options) *Machine {
	t.Helper()
	Need(t)
	o = o.withDefaults()
	off := make(chan struct{})
	close(off)
	m := &Machine{t: t, options: o, dir: t.TempDir(), console: newConsole(), off: off, next: make(chan struct{})}
	var err error
	if m.key, _, err = newKey(); err != nil {
		t.Fatal(err)
	}
	if err := m.makeFiles(); err != nil {
		t.Fatalf("%s: %v", o.Name, err)
	}
	t.Cleanup(func() {
		m.PowerOff()
		m.keep(nil)
		if t.Failed() {
			t.Logf("console of %s (boots: %v):\n%s", o.Name, m.Boots(), m.console.tail(150))
		}
	})
	return m
}

// ArmRescue makes the next boot one into the rescue system, which lets in these keys. It is for one boot.
func (m *Machine) ArmRescue(keys ...ssh.PublicKey) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.armed = append([]ssh.PublicKey{}, keys...) // never nil
}

// Console is what the machine says on its serial port.
func (m *Machine) Console() *Console { return m.console }

// Boots lists all boots so far, oldest first. A kexec is none.
func (m *Machine) Boots() []Boot {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.boots)
}

// PowerOn boots a machine that is off.
func (m *Machine) PowerOn() {
	m.t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.process != nil {
		return
	}
	if err := m.boot(); err != nil {
		m.t.Errorf("%s: %v", m.options.Name, err)
	}
}

// Reset is the reset button: what runs is lost, the machine boots. It returns when that has begun.
func (m *Machine) Reset() {
	m.t.Helper()
	m.mu.Lock()
	next := m.next
	m.mu.Unlock()
	if !m.kill(reset) {
		m.PowerOn()
		return
	}
	select {
	case <-next:
	case <-m.isOff():
	}
}

// PowerOff takes the power away, and returns when it is gone.
func (m *Machine) PowerOff() {
	m.kill(powerOff)
	<-m.isOff()
}

// isOff is closed when the machine is off.
func (m *Machine) isOff() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.off
}

// AwaitOff waits until the guest has shut down.
func (m *Machine) AwaitOff(ctx context.Context) error {
	select {
	case <-m.isOff():
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s does not go off: %w", m.options.Name, context.Cause(ctx))
	}
}

// kill ends the process and says what is to follow; false if there is none.
func (m *Machine) kill(then ending) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.process == nil {
		return false
	}
	m.wanted = then
	_ = m.process.Process.Kill() // it may have ended by itself, with the same result
	return true
}

// boot starts QEMU and a goroutine that looks after it. The caller holds the lock.
func (m *Machine) boot() error {
	rescue := m.armed != nil
	if rescue {
		if err := m.writeKeys(); err != nil {
			return err
		}
	}
	monitor, theirs, err := newMonitor()
	if err != nil {
		return err
	}
	defer theirs.Close()
	cmd := exec.Command("qemu-system-x86_64", m.arguments(rescue)...)
	cmd.SysProcAttr = dieWithUs()
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.Stdout = m.console
	stderr := &bytes.Buffer{}
	cmd.Stderr = stderr
	started := make(chan error)
	off := m.off
	if isClosed(off) {
		off = make(chan struct{})
	}
	go m.supervise(cmd, stderr, monitor, started)
	if err := <-started; err != nil {
		monitor.conn.Close()
		return fmt.Errorf("start QEMU: %w", err)
	}
	m.off, m.armed, m.wanted, m.process, m.monitor = off, nil, byGuest, cmd, monitor
	m.boots = append(m.boots, Boot{rescue, time.Now()})
	close(m.next)
	m.next = make(chan struct{})
	return nil
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// supervise starts QEMU, waits for its end and does what has to follow. The process dies with the thread that started
// it (see dieWithUs), so that is kept until then.
func (m *Machine) supervise(cmd *exec.Cmd, stderr *bytes.Buffer, monitor *monitor, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		started <- err
		return
	}
	go monitor.read()
	started <- nil
	_, _ = monitor.do("qmp_capabilities", nil) // it fails if QEMU ends at once, which is told below
	err := cmd.Wait()
	<-monitor.done

	m.mu.Lock()
	defer m.mu.Unlock()
	again := m.wanted == reset || m.wanted == byGuest && monitor.ending == "guest-reset"
	if m.wanted == byGuest && monitor.ending == "" {
		m.t.Errorf("%s: QEMU ended by itself: %v: %s", m.options.Name, err, strings.TrimSpace(stderr.String()))
	}
	m.process, m.monitor = nil, nil
	if again {
		if err := m.boot(); err == nil {
			return
		}
		m.t.Errorf("%s: boot again: %v", m.options.Name, err)
	}
	close(m.off)
}

// writeKeys puts down what the next rescue system is given: who may come in, and host keys made for this boot.
func (m *Machine) writeKeys() error {
	var authorized []byte
	for _, key := range m.armed {
		authorized = append(authorized, ssh.MarshalAuthorizedKey(key)...)
	}
	files := map[string][]byte{
		// fw_cfg has no empty files.
		"authorized_keys": append(authorized, '\n'),
		"test_keys":       ssh.MarshalAuthorizedKey(m.key.PublicKey()),
	}
	keys, err := hostKeys(files)
	if err != nil {
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(m.dir, name), text, 0o600); err != nil {
			return err
		}
	}
	m.hostKeys = keys
	return nil
}
