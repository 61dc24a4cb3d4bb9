package operation_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
	"github.com/talos-manager/talos-manager/internal/operation"
	"github.com/talos-manager/talos-manager/internal/provider"
	"github.com/talos-manager/talos-manager/internal/provider/robot"
	"github.com/talos-manager/talos-manager/internal/rescue"
	"github.com/talos-manager/talos-manager/internal/simulator/factory"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

// thrifty gives Robot's drivers budgets of the store, and fewer restarts than Robot has.
type thrifty struct {
	*lab

	limit provider.Limit
}

// Driver implements manage.Drivers.
func (d thrifty) Driver(ctx context.Context, accountID string) (provider.Driver, error) {
	a, err := d.store.Account(ctx, accountID)
	if err != nil || a.Provider != fleet.HetznerRobot {
		return d.lab.New(a)
	}
	return thriftyDriver{robot.New(robot.Options{
		User: a.User, Password: a.Password, BaseURL: d.sim.RobotURL(), HTTP: d.http, Members: true, RetryEvery: d.pause(),
		Budget: accountBudget{d, accountID},
	}), d.limit}, nil
}

type thriftyDriver struct {
	*robot.Driver

	limit provider.Limit
}

// RescueCosts implements provider.Costly.
func (d thriftyDriver) RescueCosts() []provider.Cost {
	all := d.Driver.RescueCosts()
	for i := range all {
		if all[i].Scarce {
			all[i].Limit = d.limit
		}
	}
	return all
}

// accountBudget is as the program's.
type accountBudget struct {
	d       thrifty
	account string
}

// Take implements provider.Budget.
func (b accountBudget) Take(ctx context.Context, group string, l provider.Limit) (time.Time, error) {
	if group == "robot POST /reset" {
		l = b.d.limit
	}
	return b.d.store.TakeCall(ctx, b.account, group, l.Calls, l.Window, l.Refill, time.Now())
}

// Exhaust implements provider.Budget.
func (b accountBudget) Exhaust(ctx context.Context, group string, until time.Time) error {
	return b.d.store.ExhaustCalls(ctx, b.account, group, until)
}

// restarts gives when restarts were ordered, since the first of them.
func restarts(at []time.Time) []time.Duration {
	slices.SortFunc(at, time.Time.Compare)
	var all []time.Duration
	for _, t := range at {
		all = append(all, t.Sub(at[0]))
	}
	return all
}

// What is forecast is what the engine and the budget do.
func TestAPlanIsWhatHappens(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	const window = 12 * slower * time.Second // longer than a busy machine takes to come to the restarts
	env := l.ops.Env
	env.Drivers = thrifty{l, provider.Limit{Calls: 2, Window: window}}
	l.ops = operation.New(env)
	servers := []string{"control-plane-1", "worker-1", "worker-2", "worker-3"}
	l.cluster(t, servers, nil)
	l.engine(t, workflow.Options{})
	plan, err := l.ops.PlanInstalls(t.Context(), servers, operation.InstallOptions{Wipe: true})
	if err != nil {
		t.Fatal(err)
	}
	var planned []time.Time
	waiting := 0
	for _, s := range plan.Servers {
		if len(s.Problems) > 0 || s.End.IsZero() || s.Restarts != 1 {
			t.Fatalf("%+v", s)
		}
		planned = append(planned, s.Phases[1].Works)
		if s.Phases[1].WaitsFor != "" {
			waiting++
		}
	}
	if b := plan.Budgets[0]; b.Group != "robot POST /reset" || b.Needed != 4 || b.Used != 0 || waiting != 2 || plan.AtOnce == 0 {
		t.Errorf("%d wait, %+v, %d at once", waiting, b, plan.AtOnce)
	}
	var ids []string
	for _, name := range servers {
		op, err := l.ops.Install(t.Context(), "test", name, operation.InstallOptions{Wipe: true})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, op.ID)
	}
	var ordered []time.Time
	for _, id := range ids {
		op := l.finish(t, id, 3*time.Minute) // two windows, on a busy machine
		if op.State != fleet.Succeeded {
			l.dump(t, op)
			t.Fatalf("install is %s", op.State)
		}
		i := slices.IndexFunc(op.Steps, func(s fleet.OperationStep) bool { return s.Name == "boot the rescue system" })
		ordered = append(ordered, op.Steps[i].FinishedAt)
	}
	want, got := restarts(planned), restarts(ordered)
	for i := range want {
		if diff := (want[i] - got[i]).Abs(); diff > window/2 {
			t.Errorf("restarts were ordered after %v, planned was %v", got, want)
			break
		}
	}
	used, err := l.ops.PlanInstalls(t.Context(), servers[1:2], operation.InstallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if p := used.Servers[0].Problems; len(p) != 1 || !strings.Contains(p[0].Text, "is a node of its cluster already") {
		t.Errorf("of a node: %+v", p)
	}
	l.measured(t, used)
}

// measured makes sure that a plan reckons with what four installs took here.
func (l *lab) measured(t *testing.T, p operation.InstallPlan) {
	t.Helper()
	for _, phase := range p.Phases {
		if phase.Provider != fleet.HetznerRobot || phase.Phase == operation.PhaseJoin || phase.Phase == operation.PhaseBootstrap || phase.Phase == operation.PhaseAPI || strings.Contains(phase.Phase, "kexec") {
			continue
		}
		if phase.Measured != 4 || phase.Takes <= 0 || phase.Takes > time.Minute {
			t.Errorf("%+v", phase)
		}
	}
}

// What drivers say that a rescue boot costs is what it costs, at least.
func TestARescueBootCostsWhatItsDriverSays(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		cloud bool
		most  int // that a call more or less may be
	}{{"control-plane-1", false, 2}, {"control-plane-1", true, 12}} {
		l := newLab(t)
		b := &counted{}
		l.budget = b
		if c.cloud {
			l.cluster(t, nil, []string{c.name})
		} else {
			l.cluster(t, []string{c.name}, nil)
		}
		s, err := l.store.Server(t.Context(), c.name)
		if err != nil {
			t.Fatal(err)
		}
		d, err := l.Driver(t.Context(), s.AccountID)
		if err != nil {
			t.Fatal(err)
		}
		b.mu.Lock()
		clear(b.calls)
		b.mu.Unlock()
		l.engine(t, workflow.Options{})
		op, err := l.ops.Rescue(t.Context(), "test", c.name)
		if err != nil {
			t.Fatal(err)
		}
		l.succeeds(t, op.ID)
		said := map[string]int{}
		for _, cost := range d.(provider.Costly).RescueCosts() {
			said[cost.Group] = cost.Arm + cost.Restart + cost.Arrive
			if off := b.calls[cost.Group] - said[cost.Group]; off > c.most || off < -c.most || cost.Scarce && !c.cloud && off != 0 {
				t.Errorf("%s: %d calls, said were %d", cost.Group, b.calls[cost.Group], said[cost.Group])
			}
		}
		for group, n := range b.calls {
			if said[group] == 0 && n > 2 {
				t.Errorf("%d calls of %s, of which nothing was said", n, group)
			}
		}
	}
}

// Every script that an install may run is shown by a dry run of some options, and nothing else is.
func TestADryRunShowsWhatWouldBeDone(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.cluster(t, []string{"control-plane-1"}, nil)
	l.sim.Factory.Fault(func(f *factory.Faults) { f.Outage = 1000 }) // nobody is asked
	before, err := l.store.Server(t.Context(), "control-plane-1")
	if err != nil {
		t.Fatal(err)
	}
	p, err := l.ops.DryRunInstall(t.Context(), "control-plane-1", operation.InstallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if p.Image == "" || p.TalosVersion == "" || p.Schematic == "" || p.Verdict != "" || len(p.Problems) > 0 || len(p.Steps) < 10 {
		t.Errorf("without facts: %+v", p)
	}
	disk := fleet.Disk{Name: "nvme1n1", WWID: before.Assignment.InstallDisk, Serial: "S1", SizeBytes: 512 << 30, Contents: []string{"nvme1n1p1 ext4 data"}, Partitions: []fleet.Partition{{Number: 1, Name: "nvme1n1p1", FSType: "ext4", FSLabel: "data", SizeBytes: 1 << 30}}}
	facts := fleet.Facts{At: time.Now(), UUID: "4c4c4544-0042-3510-8050-b4c04f384833", Firmware: "uefi", Disks: []fleet.Disk{disk}}
	if err := l.store.SetFacts(t.Context(), before.ID, facts); err != nil {
		t.Fatal(err)
	}
	if p, err = l.ops.DryRunInstall(t.Context(), "control-plane-1", operation.InstallOptions{}); err != nil {
		t.Fatal(err)
	}
	if p.Disk.Serial != "S1" || p.Policy != fleet.CleanOnly || !strings.Contains(p.Question, "answer with S1") || !strings.Contains(p.Verdict, "it asks") {
		t.Errorf("with data on its disk: %+v", p)
	}
	if wipe, err := l.ops.DryRunInstall(t.Context(), "control-plane-1", operation.InstallOptions{Wipe: true}); err != nil || wipe.Question != "" || !strings.Contains(wipe.Verdict, "without a question") {
		t.Errorf("with leave to wipe: %q, %q, %v", wipe.Question, wipe.Verdict, err)
	}
	if len(p.Meta) != 1 || p.Meta[0].Key != rescue.MetaDownloadURLCode {
		t.Errorf("META: %+v", p.Meta)
	}
	shown := map[string]bool{}
	for _, o := range []operation.InstallOptions{{Boot: fleet.BootKexec}, {Delivery: fleet.Push}, {Boot: fleet.BootAuto}, {}} {
		if o == (operation.InstallOptions{}) {
			l.plainImages("http://factory.sim/image.raw.zst")
		}
		all, err := l.ops.DryRunInstall(t.Context(), "control-plane-1", o)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range all.Scripts {
			shown[s.Name] = true
			if slices.Contains(s.Args, "") && s.Name != "start.sh" && s.Name != "write-image.sh" { // whose last but one is the checksum
				t.Errorf("script %s: %q", s.Name, s.Args)
			}
			if !slices.Contains(all.Steps, s.Step) || s.Why == "" || !strings.HasPrefix(s.Text, "#!/") {
				t.Errorf("script %s of step %q: %q", s.Name, s.Step, s.Why)
			}
		}
	}
	files, err := rescue.Scripts.ReadDir("scripts")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !shown[f.Name()] {
			t.Errorf("script %s is not shown", f.Name())
		}
	}
	after, err := l.store.Server(t.Context(), "control-plane-1")
	if err != nil || after.Assignment != before.Assignment || after.State != before.State {
		t.Errorf("a dry run changed the server: %+v, %v", after, err)
	}
}

// The shorter way for a worker that no control plane waits for.
func TestAPlanNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	c := l.cluster(t, []string{"worker-1"}, nil)
	p, err := l.ops.PlanInstalls(t.Context(), []string{"worker-1"}, operation.InstallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if s := p.Servers[0]; !p.End.IsZero() || len(s.Problems) != 1 || !strings.Contains(s.Problems[0].Text, "cluster "+c.Name+" is not bootstrapped") || len(s.Questions) != 1 {
		t.Errorf("got %+v", s)
	}
	if _, err := l.ops.PlanInstalls(t.Context(), []string{"nobody"}, operation.InstallOptions{}); fleet.KindOf(err) != fleet.NotFound {
		t.Errorf("an unknown server: %v", err)
	}
	none := ""
	if _, err := l.manager.Assign(t.Context(), "test", "worker-1", manage.AssignmentChange{Cluster: &none}); err != nil {
		t.Fatal(err)
	}
	p, err = l.ops.PlanInstalls(t.Context(), []string{"worker-1"}, operation.InstallOptions{})
	if err != nil || len(p.Servers[0].Problems) != 1 || p.Servers[0].Problems[0].Hint == "" {
		t.Errorf("without a cluster: %+v, %v", p.Servers, err)
	}
}

// A server that is in the rescue system already is told to reboot over SSH: the plan knows, and that is what happens.
func TestAServerInOurRescueSystemTakesNoRestart(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	b := &counted{}
	l.budget = b
	l.cluster(t, []string{"control-plane-1"}, nil)
	l.engine(t, workflow.Options{})
	plan := func() operation.PlannedInstall {
		t.Helper()
		p, err := l.ops.PlanInstalls(t.Context(), []string{"control-plane-1"}, operation.InstallOptions{Wipe: true})
		if err != nil || len(p.Servers[0].Problems) > 0 {
			t.Fatalf("%+v, %v", p.Servers, err)
		}
		return p.Servers[0]
	}
	if p := plan(); p.Restarts != 1 {
		t.Errorf("before: %d restarts", p.Restarts)
	}
	op, err := l.ops.Rescue(t.Context(), "test", "control-plane-1")
	if err != nil {
		t.Fatal(err)
	}
	l.succeeds(t, op.ID)
	if p := plan(); p.Restarts != 0 {
		t.Errorf("in the rescue system: %d restarts", p.Restarts)
	}
	used := b.calls["robot POST /reset"]
	if op, err = l.ops.Install(t.Context(), "test", "control-plane-1", operation.InstallOptions{Wipe: true}); err != nil {
		t.Fatal(err)
	}
	l.succeeds(t, op.ID)
	if n := b.calls["robot POST /reset"] - used; n != 0 {
		t.Errorf("the install took %d restarts", n)
	}
}

func TestARestartThatWasOrderedIsNotPlannedAgain(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.cluster(t, []string{"control-plane-1", "worker-1"}, nil)
	l.machine(t, "control-plane-1").Fault(func(f *world.Faults) { f.RescueNeverComes = true })
	l.engine(t, workflow.Options{})
	l.waits(t, l.install(t, "control-plane-1").ID, "the rescue system to ")
	p, err := l.ops.PlanInstalls(t.Context(), []string{"worker-1"}, operation.InstallOptions{Wipe: true})
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(p.Budgets, func(b operation.PlannedBudget) bool { return b.Group == "robot POST /reset" })
	if i < 0 || p.Budgets[i].Needed != 1 {
		t.Errorf("one restart is needed: %+v", p.Budgets)
	}
}

// The control plane that a worker waits for is sooner there if its Talos is started from the rescue system.
func TestWhatIsUnderWayIsForecastByTheWayItBoots(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	c := l.cluster(t, []string{"control-plane-1", "worker-1"}, nil)
	s, err := l.store.Server(t.Context(), "control-plane-1")
	if err != nil {
		t.Fatal(err)
	}
	op := fleet.Operation{ID: fleet.NewID(), Kind: operation.KindInstall, ServerID: s.ID, ClusterID: c.ID, Actor: "test", State: fleet.Pending, CreatedAt: time.Now()}
	if err := l.store.CreateOperation(t.Context(), op, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	left := func(step string) time.Duration {
		t.Helper()
		err := l.store.RequestOperation(t.Context(), op.ID, func(fleet.Operation) (workflow.Change, error) {
			return workflow.Change{Steps: []fleet.OperationStep{{Name: step, State: fleet.Pending}}}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		p, err := l.ops.PlanInstalls(t.Context(), []string{"worker-1"}, operation.InstallOptions{})
		if err != nil || p.End.IsZero() {
			t.Fatalf("%+v, %v", p, err)
		}
		return time.Until(p.End)
	}
	image := left("write the image")
	if kexec := left("load Talos' kernel"); image-kexec < 40*time.Second/speed {
		t.Errorf("%s if it writes an image, %s by kexec", image, kexec)
	}
}
