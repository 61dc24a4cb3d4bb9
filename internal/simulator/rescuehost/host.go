// Package rescuehost is what answers SSH on a machine of the pretend world that does not run Talos: Hetzner's
// rescue system, and a Debian that an earlier owner left (OldSystem). A real SSH server lets a client run real
// bash scripts: mvdan.cc/sh interprets them over a root file system that lives in memory for one boot, and the
// tools that the rescue system has are made again in Go over the world's sparse disks. Nothing of the real
// machine's files, processes or environment can be seen, and no program of it is run.
//
// What it refuses: it is no general Linux. A command it does not have is "command not found", an option it does
// not know is an error, never ignored.
//
//	Run: DHCP, sshd --------> sessions, jobs ------> reboot | poweroff | power cut
//	     (sshDelay)           mounts, file system    everything of this boot is gone
package rescuehost

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// Options of a rescue system. The zero value is useful.
type Options struct {
	// Outside connects to addresses that the world does not know; nil: they time out, as nothing is there.
	Outside func(ctx context.Context, network, addr string) (net.Conn, error)
	// LateWWN passes after the start until disks show their WWNs, as some do.
	LateWWN time.Duration
	// SwapNames gives the disks each other's names in this boot, as kernels do.
	SwapNames bool
	// RootCAs verify https; nil: those of the real machine.
	RootCAs *x509.CertPool
	// TrimIsAdvisory has blkdiscard succeed without forgetting anything, as some disks do.
	TrimIsAdvisory bool
	// Ran is told of every command that somebody has a session run.
	Ran func(command string)
	// OldKeys may log in to the old system.
	OldKeys []ssh.PublicKey
	// BootEntries are what systems that were installed before left in the firmware, the last one first in its order.
	BootEntries []BootEntry
}

// sshDelay passes between the start of a rescue system, when Robot knows the host keys, and sshd.
const sshDelay = 4 * time.Second

// Host is a system that answers SSH. It implements world.System and world.Keyboard.
type Host struct {
	m       *world.Machine
	w       *world.World
	rescue  world.Rescue
	opt     Options
	name    string   // hostname
	old     bool     // the installed Debian, not the rescue system
	foreign *Foreign // nil: Hetzner's
	booted  time.Time

	ctx    context.Context // of this boot
	cancel context.CancelFunc
	halted chan world.Halt
	work   sync.WaitGroup
	tree   *tree
	procs  *procs
	tools  map[string]tool

	mu     sync.Mutex
	disks  []*disk
	arrays []*array
	mounts []*mounted
	conns  map[net.Conn]bool
	efi    []efiEntry
	loaded *world.BootInfo // by kexec
	order  []string
	next   string // entry for the next boot
}

// New makes a rescue system.
func New(m *world.Machine, r world.Rescue, o Options) world.System {
	return newHost(m, r, o)
}

func newHost(m *world.Machine, r world.Rescue, o Options) *Host {
	h := &Host{
		m: m, w: m.World, rescue: r, opt: o, name: "rescue", booted: time.Now(),
		halted: make(chan world.Halt, 1), procs: newProcs(), conns: map[net.Conn]bool{},
	}
	h.ctx, h.cancel = context.WithCancel(m.World.Context())
	h.tools = toolbox()
	return h
}

// Run brings the system up and returns when it reboots, is powered off, or ctx ends.
func (h *Host) Run(ctx context.Context) world.Halt {
	defer h.cancel()
	stop := context.AfterFunc(ctx, h.cancel)
	defer stop()
	h.boot()
	h.w.Net.Up(h.m.Addresses()...)
	defer h.w.Net.Down(h.m.Addresses()...)
	if !h.old && !h.w.Sleep(ctx, sshDelay) {
		return world.PowerOff
	}
	h.work.Go(func() {
		if h.opt.LateWWN > 0 && h.pause(h.ctx, h.opt.LateWWN) {
			h.refresh()
		}
	})
	config, err := h.sshConfig()
	if err != nil {
		h.w.Log.Error("rescue sshd", "server", h.m.Name, "error", err)
		<-ctx.Done()
		return world.PowerOff
	}
	closeAll := h.listen(config)
	halt := h.await(ctx)
	closeAll()
	h.cancel()
	h.hangUp()
	h.work.Wait()
	return halt
}

// await waits for the end of the system. A clean end unmounts, a power cut does not.
func (h *Host) await(ctx context.Context) world.Halt {
	select {
	case halt := <-h.halted:
		h.unmountAll()
		return halt
	case <-h.m.Buttons():
		h.unmountAll()
		return world.PowerOff
	case <-ctx.Done():
		return world.PowerOff
	}
}

// CtrlAltDel reboots.
func (h *Host) CtrlAltDel() { h.halt(world.Reboot) }

// halt ends the system; the first one counts.
func (h *Host) halt(how world.Halt) {
	select {
	case h.halted <- how:
	default:
	}
}

// listen opens sshd's port of every address; what it returns closes them.
func (h *Host) listen(config *ssh.ServerConfig) func() {
	var all []net.Listener
	for _, a := range h.m.Addresses() {
		l, err := h.w.Net.Listen(netip.AddrPortFrom(a, h.sshPort()).String())
		if err != nil {
			h.w.Log.Error("rescue sshd", "server", h.m.Name, "address", a, "error", err)
			continue
		}
		all = append(all, l)
		h.work.Go(func() { h.accept(l, config) })
	}
	return func() {
		for _, l := range all {
			_ = l.Close()
		}
	}
}

func (h *Host) accept(l net.Listener, config *ssh.ServerConfig) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		h.mu.Lock()
		h.conns[c] = true
		h.mu.Unlock()
		h.work.Go(func() {
			h.serve(c, config)
			_ = c.Close()
			h.mu.Lock()
			delete(h.conns, c)
			h.mu.Unlock()
		})
	}
}

// hangUp breaks every connection.
func (h *Host) hangUp() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.conns {
		_ = c.Close()
	}
}

// hostKeys are the keys sshd presents: those published for this boot, or others by fault.
func (h *Host) hostKeys() ([]ssh.Signer, error) {
	if len(h.rescue.HostKeys) > 0 && !h.m.Faulty().WrongHostKey {
		return h.rescue.HostKeys, nil
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	s, err := ssh.NewSignerFromKey(key)
	return []ssh.Signer{s}, err
}

// open opens a file of the system. A pipe that the interpreter made for <( ) is the one real file that can be.
func (h *Host) open(name string, flag int, perm fs.FileMode) (*file, error) {
	f, err := h.tree.open(name, flag, perm)
	if err != nil {
		return nil, err
	}
	if d, ok := f.node.dev.(*disk); ok {
		f.closed = func() { h.rescan(d) }
	}
	return f, nil
}

// isSubstitution says whether a path is a pipe of the interpreter's process substitution.
func isSubstitution(name string) bool {
	return strings.HasPrefix(name, strings.TrimSuffix(os.TempDir(), "/")+"/sh-interp-")
}

// limit is how long something may take on the wall. Work takes its real time however fast the world's clock runs, so
// a limit of a minute and more, which is meant never to be reached, is not shortened below 20 s.
func (h *Host) limit(d time.Duration) time.Duration {
	if d >= time.Minute {
		return max(h.w.Real(d), 20*time.Second)
	}
	return max(h.w.Real(d), time.Millisecond)
}

// pause sleeps in time of the world; false if the process ended first.
func (h *Host) pause(ctx context.Context, d time.Duration) bool {
	return h.w.Sleep(ctx, d)
}
