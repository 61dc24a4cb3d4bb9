package talosnode

import (
	"reflect"
	"strings"
	"sync"

	"github.com/siderolabs/talos/pkg/machinery/api/machine"
)

// unmet is a condition that keeps a node from being ready.
type unmet struct{ name, reason string }

// machineStatus is what MachineStatus says.
type machineStatus struct {
	stage machine.MachineStatusEvent_MachineStage
	unmet []unmet
}

// status follows the sequences as Talos' MachineStatusController does.
type condition struct {
	node *node

	mu      sync.Mutex
	stage   machine.MachineStatusEvent_MachineStage
	running string
	last    machineStatus
	known   bool
}

func newCondition(n *node) *condition { return &condition{node: n} }

// sequence takes note of a sequence's start or end.
func (s *condition) sequence(name string, a machine.SequenceEvent_Action, fatal bool) {
	if name == "initialize" && a == machine.SequenceEvent_START {
		s.look() // its first word, UNKNOWN
	}
	s.mu.Lock()
	switch a {
	case machine.SequenceEvent_START:
		s.running = name
		s.stage = stageOf(name, s.stage)
	case machine.SequenceEvent_NOOP:
		if fatal && s.stage != machine.MachineStatusEvent_SHUTTING_DOWN {
			s.stage = machine.MachineStatusEvent_REBOOTING
		}
	case machine.SequenceEvent_STOP:
		if name == "boot" && s.running == "boot" {
			s.stage = machine.MachineStatusEvent_RUNNING
		}
		s.running = ""
	}
	s.mu.Unlock()
	s.touch()
}

func stageOf(sequence string, now machine.MachineStatusEvent_MachineStage) machine.MachineStatusEvent_MachineStage {
	switch sequence {
	case "boot", "initialize":
		return machine.MachineStatusEvent_BOOTING
	case "shutdown":
		return machine.MachineStatusEvent_SHUTTING_DOWN
	case "upgrade", "stageUpgrade", "maintenanceUpgrade":
		return machine.MachineStatusEvent_UPGRADING
	case "reset":
		return machine.MachineStatusEvent_RESETTING
	case "reboot":
		return machine.MachineStatusEvent_REBOOTING
	}
	return now
}

// phase takes note of a phase's start.
func (s *condition) phase(name string) {
	s.mu.Lock()
	if name == "kexec" && (s.running == "upgrade" || s.running == "stageUpgrade") {
		s.stage = machine.MachineStatusEvent_REBOOTING
	}
	s.mu.Unlock()
	s.touch()
}

// maintenance takes note of its start and end.
func (s *condition) maintenance(on bool) {
	s.mu.Lock()
	s.stage = machine.MachineStatusEvent_BOOTING
	if on {
		s.stage = machine.MachineStatusEvent_MAINTENANCE
	}
	s.mu.Unlock()
	s.touch()
}

// now gives the present status.
func (s *condition) now() machineStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// touch looks at the node again after a change.
func (s *condition) touch() {
	s.look()
	s.node.publish()
}

// tick looks at the node again because time has passed.
func (s *condition) tick() {
	if s.look() {
		s.node.publish()
	}
}

// look tells those who watch if something changed.
func (s *condition) look() bool {
	n := s.node
	if n.ctx == nil || n.ctx.Err() != nil {
		return false
	}
	s.mu.Lock()
	next := machineStatus{stage: s.stage}
	if s.stage == machine.MachineStatusEvent_BOOTING || s.stage == machine.MachineStatusEvent_RUNNING {
		next.unmet = n.unmet()
	}
	if s.known && reflect.DeepEqual(next, s.last) {
		s.mu.Unlock()
		return false
	}
	s.last, s.known = next, true
	e := &machine.MachineStatusEvent{Stage: next.stage, Status: &machine.MachineStatusEvent_MachineStatus{Ready: len(next.unmet) == 0}}
	for _, u := range next.unmet {
		e.Status.UnmetConditions = append(e.Status.UnmetConditions,
			&machine.MachineStatusEvent_MachineStatus_UnmetCondition{Name: u.name, Reason: u.reason})
	}
	n.events.publish(e, "")
	s.mu.Unlock()
	return true
}

// unmet lists what is missing, in the words of Talos' MachineStatusController.
func (n *node) unmet() []unmet {
	var list []unmet
	n.mu.Lock()
	synced, online := n.synced, n.online
	n.mu.Unlock()
	if !synced {
		list = append(list, unmet{"time", "resource TimeStatuses.v1alpha1.talos.dev(runtime/node@undefined) doesn't exist"})
	}
	if !online {
		list = append(list, unmet{"network", "waiting on: address, connectivity"})
	}
	if p := n.serviceProblems(); len(p) > 0 {
		list = append(list, unmet{"services", strings.Join(p, ", ")})
	}
	if p := n.kube.podProblems(); len(p) > 0 {
		list = append(list, unmet{"staticPods", strings.Join(p, ", ")})
	}
	if p := n.kube.nodeProblem(); p != "" {
		list = append(list, unmet{"nodeReady", p})
	}
	return list
}

func (n *node) serviceProblems() []string {
	required := []string{"apid", "machined", "kubelet"}
	if n.controlPlane() {
		required = append(required, "etcd", "trustd")
	}
	var problems []string
	runs := map[string]bool{}
	for _, s := range n.services.protos() {
		if s.GetState() != "Running" {
			continue
		}
		runs[s.GetId()] = true
		if !s.GetHealth().GetUnknown() && !s.GetHealth().GetHealthy() {
			problems = append(problems, s.GetId()+" not healthy")
		}
	}
	for _, id := range required {
		if !runs[id] {
			problems = append(problems, id+" not running")
		}
	}
	return problems
}
