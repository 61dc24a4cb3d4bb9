package world

import (
	"context"
	"sync"
	"testing"
	"time"
)

// box is a system for tests: it ends as it is told, or at its button.
type box struct {
	m      *Machine
	rescue *Rescue // nil: from disk
	halt   chan Halt
	keys   chan struct{}
}

func (b *box) Run(ctx context.Context) Halt {
	select {
	case h := <-b.halt:
		return h
	case <-b.m.Buttons():
		return PowerOff
	case <-ctx.Done():
		return PowerOff
	}
}

func (b *box) CtrlAltDel() { b.keys <- struct{}{} }

// lab has one machine in a world where an hour takes 36 ms of ours at speed 100,000.
func lab(t *testing.T, speed float64) *Machine {
	t.Helper()
	w := New(Options{Speed: speed})
	t.Cleanup(w.Close)
	w.BootRescue = func(m *Machine, r Rescue) System { return &box{m: m, rescue: &r, halt: make(chan Halt, 1)} }
	w.BootDisk = func(m *Machine) System {
		return &box{m: m, halt: make(chan Halt, 1), keys: make(chan struct{}, 1)}
	}
	return w.AddMachine(Spec{Number: 1})
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !f(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited 10 s for %s", what)
		}
		<-time.After(time.Millisecond)
	}
}

// booted waits for the nth boot's system.
func booted(t *testing.T, m *Machine, n int) *box {
	t.Helper()
	eventually(t, "the boot", func() bool { return m.Boots() == n && m.System() != nil })
	return m.System().(*box)
}

func TestMachineRescueIsTakenByOneBoot(t *testing.T) {
	m := lab(t, 10_000)
	armed := &Rescue{Password: "x", At: time.Now()}
	m.Arm(armed)
	m.PowerOn()
	first := booted(t, m, 1)
	if first.rescue == nil || first.rescue.Password != "x" || m.Armed() != nil {
		t.Fatalf("booted %+v, still armed %v", first.rescue, m.Armed())
	}
	if r, when := m.Rescued(); r != armed || when.IsZero() {
		t.Errorf("rescued %p at %v, want %p", r, when, armed)
	}
	first.halt <- Reboot
	if second := booted(t, m, 2); second.rescue != nil {
		t.Error("rescue again")
	}
}

func TestMachineRescueGoesWrong(t *testing.T) {
	for _, tc := range []struct {
		reason string
		at     time.Duration // armed so long ago, in the world
		faults Faults
		disk   bool // boots from disk instead
	}{
		{"lapsed after an hour", 61 * time.Minute, Faults{}, true},
		{"the old system comes", 0, Faults{RescueOldSystem: 1}, true},
		{"it never comes", 0, Faults{RescueNeverComes: true}, false},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			m := lab(t, 10_000)
			m.Fault(func(f *Faults) { *f = tc.faults })
			m.Arm(&Rescue{At: time.Now().Add(-m.World.Real(tc.at))})
			m.PowerOn()
			eventually(t, "the boot", func() bool { return m.Boots() == 1 && (m.System() != nil) == tc.disk })
			if b, up := m.System().(*box); up != tc.disk || up && b.rescue != nil {
				t.Errorf("runs %+v", b)
			}
			if r, _ := m.Rescued(); r != nil || m.Armed() != nil || !m.On() {
				t.Errorf("rescued %v, armed %v, on %v", r, m.Armed(), m.On())
			}
		})
	}
}

func TestMachineButtons(t *testing.T) {
	m := lab(t, 10_000)
	m.Reset() // nothing without power
	if m.On() {
		t.Fatal("reset switched it on")
	}
	m.Button()
	b := booted(t, m, 1)
	m.CtrlAltDel()
	<-b.keys
	m.Button()
	eventually(t, "power off", func() bool { return !m.On() })
	m.CtrlAltDel() // nobody hears it
	m.PowerOn()
	booted(t, m, 2)
	m.Reset()
	booted(t, m, 3)
	m.Fault(func(f *Faults) { f.ResetIgnored = 1 })
	m.Reset()
	if m.Boots() != 3 || m.System() == nil {
		t.Error("an ignored reset did something")
	}
	m.PowerCut()
	if m.On() || m.System() != nil {
		t.Error("power or a system after the cut")
	}
}

func TestMachineButtonDuringFirmwareIsForgotten(t *testing.T) {
	m := lab(t, 1000) // 40 ms of firmware
	m.PowerOn()
	m.Button()
	b := booted(t, m, 1)
	b.m.Arm(nil)
	b.halt <- Reboot // would be lost to the button if it were remembered
	booted(t, m, 2)
}

func TestMachineFaultsCountDown(t *testing.T) {
	m := lab(t, 1)
	m.Fault(func(f *Faults) { f.SSHDrops = 2 })
	for i, want := range []bool{true, true, false} {
		if got := m.TakeFault(func(f *Faults) *int { return &f.SSHDrops }); got != want {
			t.Errorf("time %d: %v", i+1, got)
		}
	}
}

// TestMachineHasOneSystemWhateverIsPressed lets many press at once and wants power and system to agree afterwards.
func TestMachineHasOneSystemWhateverIsPressed(t *testing.T) {
	m := lab(t, 100_000)
	var running, most int
	var mu sync.Mutex
	inner := m.World.BootDisk
	m.World.BootDisk = func(m *Machine) System {
		return counted{inner(m), func(n int) { mu.Lock(); running += n; most = max(most, running); mu.Unlock() }}
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 20 {
				m.PowerOn()
				m.Reset()
				m.PowerCut()
			}
		})
	}
	all.Wait()
	if most > 1 || running != 0 || m.On() || m.System() != nil {
		t.Errorf("%d systems at once, %d left, on %v", most, running, m.On())
	}
	m.PowerOn()
	eventually(t, "a system", func() bool { return m.System() != nil })
}

// counted tells how many run.
type counted struct {
	System
	count func(int)
}

func (c counted) Run(ctx context.Context) Halt {
	c.count(1)
	defer c.count(-1)
	return c.System.Run(ctx)
}

func TestWorldCloseEndsEverything(t *testing.T) {
	m := lab(t, 10_000)
	m.PowerOn()
	booted(t, m, 1)
	ended := false
	m.World.Go(func(ctx context.Context) { <-ctx.Done(); ended = true })
	m.World.Close()
	if m.On() || m.System() != nil || !ended {
		t.Errorf("on %v, system %v, ended %v", m.On(), m.System(), ended)
	}
	m.PowerOn()
	m.World.Go(func(context.Context) { t.Error("runs in a closed world") })
	if m.On() {
		t.Error("power in a closed world")
	}
}

func TestWorldRunsAtItsSpeed(t *testing.T) {
	w := New(Options{Speed: 60})
	defer w.Close()
	if got := w.Real(time.Minute); got != time.Second {
		t.Errorf("a minute takes %v", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if w.Sleep(ctx, time.Hour) || !w.Sleep(t.Context(), time.Millisecond) {
		t.Error("Sleep does not tell whether the time passed")
	}
	if w.Chance(0) || !w.Chance(1) {
		t.Error("certain things are not certain")
	}
}
