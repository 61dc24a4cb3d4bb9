package talosnode

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// serviceEventsKept is how many events Talos remembers of a service.
const serviceEventsKept = 16

// definition says what a service is.
type definition struct {
	id      string
	waits   string                                           // what it waits for at first; "" nothing
	wait    func(ctx context.Context, say func(string)) bool // until it may start
	prepare func(context.Context) error                      // its "pre state"
	started string                                           // message of its start; %d is the process id
	health  func() error                                     // nil: healthy once it is up
	settles time.Duration                                    // from the start to the first health check
	work    func(context.Context)                            // what it does while it runs, besides being there
	stops   bool                                             // may be stopped over the API
	process bool                                             // it is a process of its own
}

// service is one service of a node in this boot.
type service struct {
	definition
	state   string
	events  []*machine.ServiceEvent
	pid     int32
	unknown bool // not checked yet
	healthy bool
	message string
	changed time.Time
	cancel  context.CancelFunc
	done    chan struct{} // closed when its run has ended
}

func (s *service) running() bool { return s.state == "Running" }
func (s *service) up() bool      { return s.running() && s.healthy }

func (s *service) proto() *machine.ServiceInfo {
	return &machine.ServiceInfo{
		Id: s.id, State: s.state,
		Events: &machine.ServiceEvents{Events: append([]*machine.ServiceEvent(nil), s.events...)}, Health: s.protoHealth(),
	}
}

func (s *service) protoHealth() *machine.ServiceHealth {
	h := &machine.ServiceHealth{Unknown: s.unknown, Healthy: s.healthy, LastMessage: s.message}
	h.LastChange = timestamppb.New(s.changed)
	return h
}

// services are those of one boot, in the order they were loaded.
type services struct {
	node    *node
	mu      sync.Mutex
	all     []*service
	lastPID int32
	changed chan struct{}
	closed  bool // no service starts any more
}

func newServices(n *node) *services {
	return &services{node: n, lastPID: 60, changed: make(chan struct{})}
}

func (v *services) find(id string) *service {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.locked(id)
}

// get copies a service as it is now.
func (v *services) get(id string) (service, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if s := v.locked(id); s != nil {
		return *s, true
	}
	return service{}, false
}

func (v *services) locked(id string) *service {
	for _, s := range v.all {
		if s.id == id {
			return s
		}
	}
	return nil
}

// up says whether a service runs and is healthy.
func (v *services) up(id string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.locked(id)
	return s != nil && s.up()
}

// settled says what a boot waits for: the service is up, or ended on purpose.
func (v *services) settled(id string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.locked(id)
	return s == nil || s.up() || s.state == "Finished" || s.state == "Skipped"
}

// until waits for a condition on the services.
func (v *services) until(ctx context.Context, met func() bool) bool {
	for {
		v.mu.Lock()
		changed := v.changed
		v.mu.Unlock()
		if met() {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-changed:
		}
	}
}

func (v *services) wake() {
	close(v.changed)
	v.changed = make(chan struct{})
}

// start loads a service and runs it. One that runs already is left alone.
func (v *services) start(d definition) {
	v.mu.Lock()
	s := v.locked(d.id)
	if v.closed || s != nil && s.cancel != nil {
		v.mu.Unlock()
		return
	}
	if s == nil {
		s = &service{unknown: true, state: "Initialized"}
		v.all = append(v.all, s)
	}
	s.definition = d
	ctx, cancel := context.WithCancel(v.node.ctx)
	done := make(chan struct{})
	s.cancel, s.done = cancel, done
	v.mu.Unlock()
	v.say(s, "Starting", "Starting service")
	v.node.spawn(func() {
		defer close(done)
		v.life(ctx, s)
	})
}

// life of a service: wait, prepare, run, be checked.
func (v *services) life(ctx context.Context, s *service) {
	if s.waits != "" {
		v.say(s, "Waiting", s.waits)
	}
	if s.wait != nil && !s.wait(ctx, func(m string) { v.say(s, "Waiting", m) }) {
		v.finish(ctx, s)
		return
	}
	v.say(s, "Preparing", "Running pre state")
	if s.prepare != nil {
		if err := s.prepare(ctx); err != nil {
			if ctx.Err() == nil {
				v.end(s, "Failed", "Failed to run pre stage: "+err.Error())
				return
			}
			v.finish(ctx, s)
			return
		}
	}
	v.say(s, "Preparing", "Creating service runner")
	if !v.node.sleep(ctx, stepTime/2) {
		v.finish(ctx, s)
		return
	}
	v.run(ctx, s)
	v.finish(ctx, s)
}

func (v *services) run(ctx context.Context, s *service) {
	message := s.started
	if s.process {
		v.mu.Lock()
		v.lastPID += int32(1 + len(s.id)%5)
		s.pid = v.lastPID
		v.mu.Unlock()
		message = fmt.Sprintf(s.started, s.pid)
	}
	v.say(s, "Running", message)
	if s.work != nil {
		v.node.spawn(func() { s.work(ctx) })
	}
	if !v.node.sleep(ctx, s.settles) {
		return
	}
	for {
		var err error
		if s.health != nil {
			err = s.health()
		}
		v.check(s, err)
		if s.health == nil {
			<-ctx.Done()
			return
		}
		period := healthTime
		if err == nil {
			period = healthPeriod
		}
		if !v.node.rest(ctx, period) {
			return
		}
	}
}

// check records a health check; only changes are events.
func (v *services) check(s *service, err error) {
	v.mu.Lock()
	message := ""
	if err != nil {
		message = err.Error()
	}
	if !s.unknown && s.healthy == (err == nil) && s.message == message {
		v.mu.Unlock()
		return
	}
	s.unknown, s.healthy, s.message, s.changed = false, err == nil, message, time.Now()
	v.mu.Unlock()
	if err != nil {
		v.say(s, "Running", "Health check failed: "+message)
		return
	}
	v.say(s, "Running", "Health check successful")
}

// finish is the end of a service whose context ended. A power cut leaves no trace.
func (v *services) finish(_ context.Context, s *service) {
	if v.node.ctx.Err() != nil {
		return
	}
	v.end(s, "Finished", "Service finished successfully")
}

func (v *services) end(s *service, state, message string) {
	v.mu.Lock()
	s.cancel()
	s.cancel, s.pid, s.unknown, s.healthy, s.message = nil, 0, true, false, ""
	v.mu.Unlock()
	v.say(s, state, message)
}

// stop ends a service and waits until it has ended.
func (v *services) stop(ctx context.Context, id string) {
	v.mu.Lock()
	s := v.locked(id)
	if s == nil || s.cancel == nil {
		v.mu.Unlock()
		return
	}
	cancel, done, runs, pid := s.cancel, s.done, s.running(), s.pid
	v.mu.Unlock()
	if runs {
		v.say(s, "Stopping", fmt.Sprintf("Sending SIGTERM to task %s (PID %d, container %s)", id, pid, id))
	}
	cancel()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// close stops everything for good.
func (v *services) close(ctx context.Context) {
	v.mu.Lock()
	v.closed = true
	ids := make([]string, 0, len(v.all))
	for _, s := range v.all {
		ids = append(ids, s.id)
	}
	v.mu.Unlock()
	for i := len(ids) - 1; i >= 0; i-- {
		v.stop(ctx, ids[i])
	}
}

// say moves a service to a state, with an event for those who watch.
func (v *services) say(s *service, state, message string) {
	v.mu.Lock()
	s.state = state
	s.events = append(s.events, &machine.ServiceEvent{Msg: message, State: state, Ts: timestamppb.Now()})
	if over := len(s.events) - serviceEventsKept; over > 0 {
		s.events = s.events[over:]
	}
	e := &machine.ServiceStateEvent{Service: s.id, Message: message, Action: action(state), Health: s.protoHealth()}
	v.wake()
	v.mu.Unlock()
	v.node.events.publish(e, "")
	v.node.log(s.id, "service[%s](%s): %s", s.id, state, message)
	v.node.status.touch()
}

// protos lists the services by name, as ServiceList does.
func (v *services) protos() []*machine.ServiceInfo {
	v.mu.Lock()
	defer v.mu.Unlock()
	list := make([]*machine.ServiceInfo, 0, len(v.all))
	for _, s := range v.all {
		list = append(list, s.proto())
	}
	sortServices(list)
	return list
}

// running gives copies of the services that run.
func (v *services) running() []service {
	v.mu.Lock()
	defer v.mu.Unlock()
	var list []service
	for _, s := range v.all {
		if s.running() {
			list = append(list, *s)
		}
	}
	return list
}

func action(state string) machine.ServiceStateEvent_Action {
	switch state {
	case "Preparing":
		return machine.ServiceStateEvent_PREPARING
	case "Waiting":
		return machine.ServiceStateEvent_WAITING
	case "Running":
		return machine.ServiceStateEvent_RUNNING
	case "Stopping":
		return machine.ServiceStateEvent_STOPPING
	case "Finished":
		return machine.ServiceStateEvent_FINISHED
	case "Failed":
		return machine.ServiceStateEvent_FAILED
	case "Skipped":
		return machine.ServiceStateEvent_SKIPPED
	case "Starting":
		return machine.ServiceStateEvent_STARTING
	}
	return machine.ServiceStateEvent_INITIALIZED
}
