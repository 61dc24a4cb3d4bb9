// Package world is the pretend data centre behind the simulator: machines with disks and power, a network
// between them, faults, and a clock that can run fast. It knows no protocol; packages hetzner, factory,
// rescuehost, talosnode and kubeapi speak those over it. It imports none of the manager's code, so that a
// misunderstanding of ours fails a test instead of being mirrored.
//
// A machine's life:
//
//	off --PowerOn--> firmware --BootTime--> rescue (armed) | Talos (image on a disk) | old system | nothing
//	 ^                  ^                      |
//	 +---- PowerCut ----+------- Reboot -------+
package world

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

// Options of a world. The zero value is useful: a quiet world in real time.
type Options struct {
	Speed  float64      // seconds of the world in a real second; 0 is 1
	Seed   uint64       // of everything random, faults included
	Logger *slog.Logger // nil: silent
	// Expose opens a real socket for every listener too; addresses must then be loopback addresses.
	Expose bool
	// Unprivileged maps port 22 to 2222 on exposed sockets.
	Unprivileged bool
}

// World is one data centre.
type World struct {
	Net *Network
	Log *slog.Logger

	// BootRescue and BootDisk make the system that a machine runs; wired by package simulator. BootDisk gives nil
	// if no disk of the machine boots.
	BootRescue func(*Machine, Rescue) System
	BootDisk   func(*Machine) System
	// BootKernel makes the system that a running one starts by kexec.
	BootKernel func(*Machine, BootInfo) System

	speed  float64
	shared *pool
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu       sync.Mutex
	rand     *rand.Rand
	machines []*Machine
}

// New makes an empty world. Close it.
func New(o Options) *World {
	if o.Speed <= 0 {
		o.Speed = 1
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancel(context.Background())
	w := &World{Log: o.Logger, speed: o.Speed, shared: newPool(), ctx: ctx, cancel: cancel, rand: rand.New(rand.NewPCG(o.Seed, 1))}
	w.Net = newNetwork(o.Expose, o.Unprivileged)
	return w
}

// Close cuts the power of every machine, closes the network and waits for all that runs in the world.
func (w *World) Close() {
	w.mu.Lock()
	w.cancel() // under mu: nothing starts after this
	w.mu.Unlock()
	for _, m := range w.Machines() {
		m.PowerCut()
	}
	w.Net.close()
	w.wg.Wait()
}

// Context ends when the world does.
func (w *World) Context() context.Context { return w.ctx }

// Go runs f until it returns; Close waits for it. f must end with its ctx. Nothing runs in a closed world.
func (w *World) Go(f func(ctx context.Context)) {
	w.start(func() { f(w.ctx) })
}

// start runs f, false if the world is closed.
func (w *World) start(f func()) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ctx.Err() != nil {
		return false
	}
	w.wg.Go(f)
	return true
}

// Real turns a duration of the world into one of the clock on the wall.
func (w *World) Real(d time.Duration) time.Duration { return time.Duration(float64(d) / w.speed) }

// Sleep lets d pass in the world; false if ctx ended first.
func (w *World) Sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(w.Real(d))
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// Chance is true with probability p.
func (w *World) Chance(p float64) bool {
	if p <= 0 {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rand.Float64() < p
}

// IntN gives a number in [0, n).
func (w *World) IntN(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rand.IntN(n)
}

// Machines lists the machines in the order they were added.
func (w *World) Machines() []*Machine {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]*Machine(nil), w.machines...)
}
