package talosnode_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/api/common"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/client"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// timelineEvent is a line of a recorded timeline.
type timelineEvent struct {
	Event, Sequence, Phase, Action string
}

// recordedSteps are the sequences and phases of a recording, without those that only container mode has.
func recordedSteps(t *testing.T, name string) []string {
	var steps []string
	for _, e := range lines[timelineEvent](t, name) {
		switch e.Event {
		case "SequenceEvent":
			steps = append(steps, e.Sequence+" "+e.Action)
		case "PhaseEvent":
			if e.Phase == "machined" {
				e.Phase = "earlyServices" // its name on metal
			}
			if e.Phase != "sharedFilesystems" {
				steps = append(steps, "phase "+e.Phase+" "+e.Action)
			}
		}
	}
	return steps
}

// history follows a node's events until it has nothing more to say for a while, or it is gone.
type history struct {
	events chan client.Event
}

func (l *lab) follow(c *client.Client) *history {
	h := &history{events: make(chan client.Event, 2000)}
	ctx, cancel := context.WithCancel(context.Background())
	l.t.Cleanup(cancel)
	started := make(chan struct{})
	go func() {
		defer close(h.events)
		_ = c.EventsWatch(ctx, func(in <-chan client.Event) {
			close(started)
			for e := range in {
				h.events <- e
			}
		}, client.WithTailEvents(-1))
	}()
	<-started
	return h
}

// steps collects sequences and phases until one comes or the stream ends.
func (h *history) steps(t *testing.T, last string) []string {
	t.Helper()
	var steps []string
	for {
		select {
		case e, ok := <-h.events:
			if !ok {
				return steps
			}
			switch p := e.Payload.(type) {
			case *machine.SequenceEvent:
				steps = append(steps, p.GetSequence()+" "+p.GetAction().String())
				if p.GetError() != nil && p.GetError().GetCode() == common.Code_LOCKED {
					steps[len(steps)-1] += " LOCKED"
				}
			case *machine.PhaseEvent:
				steps = append(steps, "phase "+p.GetPhase()+" "+p.GetAction().String())
			default:
				continue
			}
			if steps[len(steps)-1] == last {
				return steps
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("no %q after %v", last, steps)
		}
	}
}

// within says whether all of want are in got, in this order.
func within(got, want []string) (missing string) {
	for _, w := range want {
		i := slices.Index(got, w)
		if i < 0 {
			return w
		}
		got = got[i+1:]
	}
	return ""
}

func TestABootGoesThroughTheRecordedSequencesAndPhasesInOrder(t *testing.T) {
	l := newLab(t, "v1.13.9")
	_, c := l.configured(2, l.controlPlane)
	if err := c.Bootstrap(context.Background(), &machine.BootstrapRequest{}); err != nil {
		t.Fatal(err)
	}
	want := recordedSteps(t, "03-timeline-boot-with-config-from-platform.jsonl")
	want = want[:slices.Index(want, "boot STOP")+1]
	got := l.follow(c).steps(t, "boot STOP")
	if m := within(got, want); m != "" {
		t.Errorf("%q is missing or out of order in %q", m, got)
	}
}

func TestAShutdownGoesThroughTheRecordedPhasesAndAReportOfLockedForAReboot(t *testing.T) {
	l := newLab(t, "v1.13.9")
	_, _ = l.configured(2, l.controlPlane)
	m, c := l.configured(6, l.worker)
	l.until("a running node", func(ctx context.Context) bool { return l.service(ctx, c, "kubelet") == "Running" })
	h := l.follow(c)
	h.steps(t, "boot STOP")
	if err := c.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := c.Reboot(context.Background()); err != nil {
		t.Fatal(err)
	}
	want := recordedSteps(t, "03-timeline-shutdown-worker.jsonl")
	want = want[slices.Index(want, "shutdown NOOP")+1:]
	want = slices.DeleteFunc(want, func(s string) bool { return s == "reboot NOOP" })
	got := h.steps(t, "phase stopEverything START")
	if m := within(got, want); m != "" {
		t.Errorf("%q is missing or out of order in %q", m, got)
	}
	if !slices.Contains(got, "reboot NOOP LOCKED") {
		t.Errorf("no word of the reboot in %q", got)
	}
	l.until("a machine that is off", func(context.Context) bool { return !m.On() })
}

func TestARebootDuringARebootStartsItAgainWithAnotherActor(t *testing.T) {
	l := newLabAt(t, "v1.13.9", 30) // the calls must come while the pods stop, 2 s
	m, c := l.configured(2, l.controlPlane)
	h := l.follow(c)
	l.until("a kubelet", func(ctx context.Context) bool { return l.service(ctx, c, "kubelet") == "Running" })
	var actors []string
	for range 3 {
		r, err := c.MachineClient.Reboot(context.Background(), &machine.RebootRequest{})
		if err != nil {
			t.Fatal(err)
		}
		actors = append(actors, r.GetMessages()[0].GetActorId())
	}
	if slices.Sort(actors); len(slices.Compact(actors)) != 3 {
		t.Errorf("actors %v", actors)
	}
	got := h.steps(t, "phase stopEverything START")
	if m := within(got, []string{"reboot START", "reboot STOP", "reboot NOOP", "reboot START", "reboot NOOP", "reboot START", "phase kexec START"}); m != "" {
		t.Errorf("%q is missing in %q", m, got)
	}
	boots := m.Boots()
	l.until("the next boot", func(ctx context.Context) bool { return l.service(ctx, l.client(m), "etcd") == "Preparing" })
	if m.Boots() != boots {
		t.Errorf("a reboot with kexec went through the firmware")
	}
}

func TestAStreamEndsWithEOFWhenTheNodeGoesDownAndThenNobodyListens(t *testing.T) {
	l := newLab(t, "v1.13.9")
	m, c := l.configured(2, l.controlPlane)
	stream, err := c.MachineClient.Events(context.Background(), &machine.EventsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if e, err := stream.Recv(); err != nil || len(e.GetData().GetValue()) > 0 {
		t.Errorf("first event %v %v", e, err)
	}
	m.Button()
	for err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.Unknown || status.Convert(err).Message() != "EOF" {
		t.Errorf("the stream ended with %v", err)
	}
	l.until("a machine that is off", func(context.Context) bool { return !m.On() })
}

func TestAPowerCutClosesEverythingAtOnceAndTheNodeComesBackAsItWas(t *testing.T) {
	l := newLab(t, "v1.13.9")
	m, c := l.configured(2, l.controlPlane)
	if err := c.Bootstrap(context.Background(), &machine.BootstrapRequest{}); err != nil {
		t.Fatal(err)
	}
	l.until("a member", func(context.Context) bool { return l.voters(c) == 1 })
	id := l.memberID(c, "n2")
	l.until("a running node", func(ctx context.Context) bool { return stage(ctx, c) == "running true" })
	m.PowerCut()
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if conn, err := l.world.Net.DialContext(ctx, "tcp", "10.5.0.2:50000"); err == nil {
		conn.Close()
		t.Error("somebody answers")
	}
	m.PowerOn()
	c = l.answers(m)
	l.until("the member", func(context.Context) bool { return l.voters(c) == 1 })
	if l.memberID(c, "n2") != id {
		t.Error("another member")
	}
	l.until("a running node", func(ctx context.Context) bool { return stage(ctx, c) == "running true" })
}

func TestAGracefulResetLeavesEtcdAndComesBackInMaintenance(t *testing.T) {
	l := newLab(t, "v1.13.9")
	machines, clients := l.trio()
	_, err := clients[2].ResetGenericWithResponse(context.Background(), &machine.ResetRequest{
		Graceful: true, Reboot: true,
		SystemPartitionsToWipe: []*machine.ResetPartitionSpec{{Label: "STATE", Wipe: true}, {Label: "EPHEMERAL", Wipe: true}},
	})
	if err != nil {
		t.Fatal(err)
	}
	l.until("two members", func(context.Context) bool { return len(l.members(clients[0])) == 2 })
	c := l.maintenance(machines[2])
	l.apply(c, l.controlPlane(machines[2]))
	l.until("three voters", func(context.Context) bool { return l.voters(clients[0]) == 3 })
}

func TestAGracefulResetOfTheOnlyMemberFailsAndRebootsUnwiped(t *testing.T) {
	l := newLab(t, "v1.13.9")
	m, c := l.configured(2, l.controlPlane)
	if err := c.Bootstrap(context.Background(), &machine.BootstrapRequest{}); err != nil {
		t.Fatal(err)
	}
	l.until("a running node", func(ctx context.Context) bool { return stage(ctx, c) == "running true" })
	h := l.follow(c)
	boots := m.Boots()
	if err := c.Reset(context.Background(), true, true); err != nil {
		t.Fatal(err)
	}
	got := h.steps(t, "reset NOOP")
	if m := within(got, []string{"reset START", "phase leave START", "phase leave STOP", "reset STOP", "reset NOOP"}); m != "" {
		t.Errorf("%q is missing in %q", m, got)
	}
	l.until("another boot", func(context.Context) bool { return m.Boots() > boots })
	c = l.answers(m)
	l.until("the member", func(context.Context) bool { return l.voters(c) == 1 })
}

func TestAResetWithoutLabelsLeavesNothingToBoot(t *testing.T) {
	l := newLab(t, "v1.13.9")
	_, _ = l.configured(2, l.controlPlane)
	m, c := l.configured(6, l.worker)
	if err := c.Reset(context.Background(), false, true); err != nil {
		t.Fatal(err)
	}
	boots := m.Boots()
	l.until("another boot", func(context.Context) bool { return m.Boots() > boots })
	if m.Disks[0].Used() != 0 {
		t.Errorf("%d bytes are left", m.Disks[0].Used())
	}
}
