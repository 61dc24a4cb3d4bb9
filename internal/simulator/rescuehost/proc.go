package rescuehost

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// proc is a process: a shell, a command, or the subshell of a background job. Killing a shell does not kill what
// it runs, as in reality; killing a process group does.
type proc struct {
	pid, ppid int
	started   time.Time
	ctx       context.Context // ends when the process is killed or its system ends
	cancel    context.CancelFunc
	done      chan struct{}

	mu     sync.Mutex
	group  int
	args   []string
	signal syscall.Signal // that killed it
	ended  bool
	status int
	inExit bool // its EXIT trap runs, which a kill does not stop
	// inPlace: the next command takes the place of this subshell, as a shell's last exec does.
	inPlace bool
	job     bool                   // a background job: nobody but wait asks for its end
	fds     map[string]*descriptor // 3 and up
	hold    func()                 // gives back what it holds of its session
}

// descriptor is an open file that processes share; a flock belongs to it.
type descriptor struct {
	name  string
	io    io.ReadWriteCloser
	users int
	lock  *lock
}

// procs is the process table of one boot.
type procs struct {
	mu    sync.Mutex
	last  int
	alive map[int]*proc
	jobs  map[int]*proc // background jobs, ended ones too
	locks map[string]*lock
	bell  chan struct{} // closed and made anew when a lock is given back
}

func newProcs() *procs {
	return &procs{last: 700, alive: map[int]*proc{}, jobs: map[int]*proc{}, locks: map[string]*lock{}, bell: make(chan struct{})}
}

// start makes a process below a parent, which may be nil.
func (t *procs) start(ctx context.Context, parent *proc, args []string) *proc {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last++
	p := &proc{pid: t.last, ppid: 1, group: t.last, args: args, started: time.Now(), done: make(chan struct{}), fds: map[string]*descriptor{}}
	p.ctx, p.cancel = context.WithCancel(ctx)
	if parent != nil {
		p.ppid = parent.pid
		parent.mu.Lock()
		p.group = parent.group
		for n, d := range parent.fds {
			d.users++
			p.fds[n] = d
		}
		parent.mu.Unlock()
	}
	t.alive[p.pid] = p
	return p
}

// end takes a process out of the table; the first status counts.
func (t *procs) end(p *proc, status int) {
	p.mu.Lock()
	if p.ended {
		p.mu.Unlock()
		return
	}
	p.ended, p.status = true, status
	fds, hold := p.fds, p.hold
	p.fds, p.hold = nil, nil
	p.mu.Unlock()
	t.mu.Lock()
	delete(t.alive, p.pid)
	for _, d := range fds {
		t.release(d)
	}
	t.mu.Unlock()
	close(p.done)
	p.cancel()
	if hold != nil {
		hold()
	}
}

// release gives a descriptor back. t.mu is held.
func (t *procs) release(d *descriptor) {
	if d.users--; d.users > 0 {
		return
	}
	if d.io != nil {
		_ = d.io.Close()
	}
	if d.lock != nil {
		t.unlock(d.lock, d)
	}
}

// find gives a running process.
func (t *procs) find(pid int) *proc {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.alive[pid]
}

// job gives a background job, ended or not.
func (t *procs) job(pid int) *proc {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.jobs[pid]
}

// startJob makes the process of a background job.
func (t *procs) startJob(ctx context.Context, parent *proc, args []string, inPlace bool, hold func()) *proc {
	p := t.start(ctx, parent, args)
	p.mu.Lock()
	p.job, p.inPlace, p.hold = true, inPlace, hold
	p.mu.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.jobs[p.pid] = p
	return p
}

// all lists the running processes by pid.
func (t *procs) all() []*proc {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []*proc
	for _, pid := range slices.Sorted(maps.Keys(t.alive)) {
		all = append(all, t.alive[pid])
	}
	return all
}

// kill sends a signal to a process: 0 only looks, the others end it. A shell's EXIT trap still runs, except after
// KILL; what it was running goes on.
func (t *procs) kill(p *proc, sig syscall.Signal) {
	if sig == 0 || sig == syscall.SIGCHLD || sig == syscall.SIGCONT {
		return
	}
	p.mu.Lock()
	if p.signal == 0 {
		p.signal = sig
	}
	job := p.job
	p.mu.Unlock()
	p.cancel()
	if job {
		t.end(p, 128+int(sig))
	}
}

// dead says whether a process was killed and may go no further, and by what.
func (p *proc) dead() (syscall.Signal, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.signal, p.signal != 0 && !(p.inExit && p.signal != syscall.SIGKILL)
}

func (p *proc) enterExit() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inExit = true
}

// lead makes a process the leader of a group of its own.
func (p *proc) lead() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.group = p.pid
}

func (p *proc) groupID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.group
}

func (p *proc) command() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.args, " ")
}

func (p *proc) name() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.args) == 0 {
		return ""
	}
	name := p.args[0]
	return name[strings.LastIndexByte(name, '/')+1:]
}

// takePlace says, once, that the next command takes the process's place, and names it so.
func (p *proc) takePlace(args []string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	was := p.inPlace
	p.inPlace = false
	if was {
		p.args = args
	}
	return was
}

func (p *proc) rename(args []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.args = args
}

// lock is an flock on a path.
type lock struct {
	path   string
	owner  *descriptor // exclusive
	shared map[*descriptor]bool
}

// tryLock takes a lock for a descriptor; a lock it holds already is converted.
func (t *procs) tryLock(path string, d *descriptor, shared bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.locks[path]
	if l == nil {
		l = &lock{path: path, shared: map[*descriptor]bool{}}
		t.locks[path] = l
	}
	if l.owner != nil && l.owner != d {
		return false
	}
	for other := range l.shared {
		if other != d && !shared {
			return false
		}
	}
	l.owner = nil
	delete(l.shared, d)
	if shared {
		l.shared[d] = true
	} else {
		l.owner = d
	}
	d.lock = l
	return true
}

// unlock gives a lock back and wakes those who wait. t.mu is held.
func (t *procs) unlock(l *lock, d *descriptor) {
	if l.owner == d {
		l.owner = nil
	}
	delete(l.shared, d)
	d.lock = nil
	close(t.bell)
	t.bell = make(chan struct{})
}

// changed is closed when some lock is given back.
func (t *procs) changed() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.bell
}

// setFD gives a process a numbered descriptor; what stood there is given back.
func (t *procs) setFD(p *proc, number string, d *descriptor) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if old := p.fds[number]; old != nil {
		t.release(old)
		delete(p.fds, number)
	}
	if d != nil && p.fds != nil {
		d.users++
		p.fds[number] = d
	}
}

func (p *proc) fd(number string) (*descriptor, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d := p.fds[number]; d != nil {
		return d, nil
	}
	return nil, fmt.Errorf("%s: %s", number, errText(syscall.EBADF))
}

// giveBack unlocks a descriptor's lock.
func (t *procs) giveBack(d *descriptor) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if d.lock != nil {
		t.unlock(d.lock, d)
	}
}
