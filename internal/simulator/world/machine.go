package world

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// Kind of a machine.
type Kind int

// The kinds.
const (
	Dedicated Kind = iota // rented through Robot
	Cloud                 // rented through the Cloud API
)

// Spec is what a machine is made of. Zero fields get sensible values from AddMachine where noted.
type Spec struct {
	Kind         Kind
	Number       int64 // Robot server number or Cloud server id; must be unique per kind
	Name         string
	Product      string // AX41-NVMe, cx23
	Location     string // FSN1-DC8, fsn1
	Arch         string // "amd64" (default) or "arm64"
	UUID         string // SMBIOS system UUID; default: a random one
	Serial       string
	Manufacturer string
	UEFI         bool
	CPU          string
	Cores        int
	MemoryBytes  int64
	MAC          string
	IPv4         netip.Addr   // may be invalid: IPv6 only
	IPv6Net      netip.Prefix // may be invalid
	Gateway      netip.Addr
	Disks        []*Disk
	BootTime     time.Duration // firmware until the system starts; default 40 s dedicated, 8 s cloud
	Project      string        // Cloud project (token) or Robot login it belongs to
	OldSystem    bool          // something else is installed and answers SSH until overwritten
	Faults       Faults
}

// Faults of one machine. The zero value is a good machine.
type Faults struct {
	RescueNeverComes  bool          // the rescue boot hangs for ever
	RescueOldSystem   int           // so many rescue boots land in the installed system instead
	RescueBootTime    time.Duration // instead of BootTime, e.g. 330 s
	WrongHostKey      bool          // sshd in rescue presents other keys than those published
	DiskFails         bool          // writing a disk fails with an I/O error half way
	TalosNeverComes   bool          // the installed image does not boot
	WrongTalosVersion string        // the image comes up as this version, whatever was written
	ResetIgnored      int           // so many resets do nothing
	RebootHangs       int           // so many reboots by the system itself hang in its shutdown
	KeysIgnored       bool          // systems ignore Ctrl-Alt-Del and the power button
	SSHDrops          int           // so many SSH sessions break in their middle
}

// Rescue is an armed rescue boot.
type Rescue struct {
	Password string
	Keys     []ssh.PublicKey
	HostKeys []ssh.Signer // made for this boot; ECDSA, Ed25519, RSA
	At       time.Time    // when it was armed
	OS       string       // linux
}

// Halt says how a system ended.
type Halt int

// The ways a system ends.
const (
	Reboot Halt = iota
	PowerOff
	Kexec // into what Machine.Kexec was told
)

// System is what runs on a machine: a rescue system, a Talos node, an old installation. Run returns when the
// system reboots or powers off by itself, or at once when ctx ends (power cut, reset button).
type System interface {
	Run(ctx context.Context) Halt
}

// Machine is one server.
type Machine struct {
	Spec
	World *World

	power sync.Mutex // one change of power at a time; taken before mu

	mu      sync.Mutex
	on      bool
	cut     context.CancelFunc // of the running boot
	done    chan struct{}      // the running boot's end
	rescue  *Rescue            // armed for the next boot
	system  System
	next    *BootInfo // to be started by kexec
	booted  time.Time
	boots   int
	faults  Faults
	buttons chan struct{}

	rescued   *Rescue // the rescue boot that last came up
	rescuedAt time.Time
}

// Keyboard is a System that hears Ctrl-Alt-Del; the others ignore it.
type Keyboard interface{ CtrlAltDel() }

// AddMachine puts a machine into the world, powered off. Its addresses belong to the world from now on: nobody
// answers there (a dial times out) until its system is up.
func (w *World) AddMachine(s Spec) *Machine {
	m := &Machine{Spec: w.complete(s), World: w, buttons: make(chan struct{}, 1)}
	m.faults = s.Faults
	for _, d := range m.Disks {
		d.attach(m)
	}
	w.Net.mark(0, m.Addresses())
	w.mu.Lock()
	defer w.mu.Unlock()
	w.machines = append(w.machines, m)
	return m
}

// RemoveMachine cuts the power of a machine and takes it and its addresses out of the world.
func (w *World) RemoveMachine(m *Machine) {
	m.PowerCut()
	w.mu.Lock()
	w.machines = slices.DeleteFunc(w.machines, func(o *Machine) bool { return o == m })
	w.mu.Unlock()
	w.Net.forget(m.Addresses())
}

// Addresses of the machine on its network: IPv4 if any, and the ::1 and ::2 of its IPv6 net if any.
func (m *Machine) Addresses() []netip.Addr {
	var all []netip.Addr
	if m.IPv4.IsValid() {
		all = append(all, m.IPv4)
	}
	if m.IPv6Net.IsValid() {
		one := m.IPv6Net.Addr().Next()
		all = append(all, one, one.Next())
	}
	return all
}

// On says whether the power is on.
func (m *Machine) On() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.on
}

// System gives what runs now, nil during firmware and while off.
func (m *Machine) System() System {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.system
}

// Boots counts the boots so far.
func (m *Machine) Boots() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.boots
}

// Arm makes the next boot enter the rescue system; nil disarms.
func (m *Machine) Arm(r *Rescue) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rescue = r
}

// Armed gives the armed rescue boot, nil if none.
func (m *Machine) Armed() *Rescue {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rescue
}

// Rescued gives the rescue boot that last came up, as it was given to Arm, and when its system started; nil if
// none ever did. It is set just before the system runs.
func (m *Machine) Rescued() (*Rescue, time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rescued, m.rescuedAt
}

// Fault changes the machine's faults.
func (m *Machine) Fault(change func(*Faults)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(&m.faults)
}

// TakeFault reports a countdown fault that fires now: it gives true and takes one off while *count(faults) is positive.
func (m *Machine) TakeFault(count func(*Faults) *int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := count(&m.faults)
	if *n <= 0 {
		return false
	}
	*n--
	return true
}

// Faulty gives the machine's faults as they are now.
func (m *Machine) Faulty() Faults {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.faults
}

// PowerOn starts the machine; nothing happens if it is on.
func (m *Machine) PowerOn() {
	m.power.Lock()
	defer m.power.Unlock()
	m.powerOn()
}

func (m *Machine) powerOn() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.on {
		return
	}
	ctx, cut := context.WithCancel(m.World.ctx)
	done := make(chan struct{})
	if !m.World.start(func() { defer close(done); defer cut(); m.life(ctx) }) {
		cut()
		return
	}
	m.on, m.cut, m.done = true, cut, done
}

// PowerCut takes the power away and returns when the machine is dark.
func (m *Machine) PowerCut() {
	m.power.Lock()
	defer m.power.Unlock()
	m.powerCut()
}

func (m *Machine) powerCut() {
	m.mu.Lock()
	cut, done := m.cut, m.done
	m.mu.Unlock()
	if cut == nil {
		return
	}
	cut()
	<-done
	m.mu.Lock()
	defer m.mu.Unlock()
	m.on, m.system = false, nil
}

// Reset is the reset button: it does nothing on a machine that is off.
func (m *Machine) Reset() {
	if !m.On() || m.TakeFault(func(f *Faults) *int { return &f.ResetIgnored }) {
		return
	}
	m.power.Lock()
	defer m.power.Unlock()
	m.powerCut()
	m.powerOn()
}

// Button is a short press on the power button: power on when off, an ACPI event when on. Firmware ignores it.
func (m *Machine) Button() {
	if !m.On() {
		m.PowerOn()
		return
	}
	if m.System() == nil || m.Faulty().KeysIgnored {
		return
	}
	select {
	case m.buttons <- struct{}{}:
	default:
	}
}

// CtrlAltDel presses these keys; a system that is no Keyboard ignores them.
func (m *Machine) CtrlAltDel() {
	if m.Faulty().KeysIgnored {
		return
	}
	if k, ok := m.System().(Keyboard); ok {
		k.CtrlAltDel()
	}
}

// Buttons delivers the presses to the running system.
func (m *Machine) Buttons() <-chan struct{} { return m.buttons }

// life boots again and again until the system powers off or the power is cut.
func (m *Machine) life(ctx context.Context) {
	halt := Reboot
	for {
		var sys System
		if halt == Kexec {
			sys = m.kexec()
		} else {
			sys = m.boot(ctx)
		}
		halt = Reboot
		if sys != nil {
			halt = sys.Run(ctx)
		} else {
			<-ctx.Done() // nothing boots: a screen nobody sees
		}
		m.mu.Lock()
		m.system = nil
		if halt == PowerOff && ctx.Err() == nil {
			m.on = false
		}
		m.mu.Unlock()
		if halt == Reboot && sys != nil && ctx.Err() == nil && m.TakeFault(func(f *Faults) *int { return &f.RebootHangs }) {
			<-ctx.Done() // on, and dark
		}
		if ctx.Err() != nil || halt == PowerOff {
			return
		}
	}
}

// boot is firmware: it takes its time, then picks what runs.
func (m *Machine) boot(ctx context.Context) System {
	m.mu.Lock()
	armed, faults, wait := m.rescue, m.faults, m.BootTime
	m.mu.Unlock()
	if armed != nil && faults.RescueBootTime > 0 {
		wait = faults.RescueBootTime
	}
	if !m.World.Sleep(ctx, wait) {
		return nil
	}
	m.mu.Lock()
	armed, m.rescue = m.rescue, nil
	m.next = nil
	if armed != nil && time.Since(armed.At) > m.World.Real(time.Hour) {
		armed = nil // lapsed
	}
	m.boots++
	m.booted = time.Now()
	select {
	case <-m.buttons: // pressed on a system that is gone
	default:
	}
	m.mu.Unlock()
	sys := m.pick(armed)
	m.mu.Lock()
	m.system = sys
	m.mu.Unlock()
	return sys
}

func (m *Machine) pick(armed *Rescue) System {
	if armed != nil && m.TakeFault(func(f *Faults) *int { return &f.RescueOldSystem }) {
		armed = nil
	}
	switch {
	case armed != nil && m.Faulty().RescueNeverComes:
		return nil
	case armed != nil && m.World.BootRescue != nil:
		m.mu.Lock()
		m.rescued, m.rescuedAt = armed, m.booted
		m.mu.Unlock()
		return m.World.BootRescue(m, *armed)
	case m.World.BootDisk != nil && !m.Faulty().TalosNeverComes:
		return m.World.BootDisk(m)
	}
	return nil
}

// Disk finds a disk by its name of this boot (sda, nvme0n1).
func (m *Machine) Disk(name string) *Disk {
	i := slices.IndexFunc(m.Disks, func(d *Disk) bool { return d.Name == name })
	if i < 0 {
		return nil
	}
	return m.Disks[i]
}
