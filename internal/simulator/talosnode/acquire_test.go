package talosnode_test

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/resources/runtime"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/talos-manager/talos-manager/internal/simulator/talosnode"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

const pull = "talos.config=http://manager.sim/config?uuid="

// silent checks that a machine's port 50000 stays closed while its config is asked for again and again.
func (l *lab) silent(m *world.Machine) {
	l.t.Helper()
	l.until("many tries", func(context.Context) bool { return len(l.server.asked()) >= 10 })
	ctx, cancel := context.WithTimeout(context.Background(), slower*time.Second)
	defer cancel()
	if c, err := l.world.Net.DialContext(ctx, "tcp", m.IPv4.String()+":50000"); err == nil {
		c.Close()
		l.t.Error("port 50000 is open")
	}
}

func TestAnEmptyAnswerIsALoopAndNotMaintenance(t *testing.T) {
	for _, code := range []int{http.StatusOK, http.StatusNoContent} {
		t.Run(http.StatusText(code), func(t *testing.T) {
			l := newLab(t, "v1.13.9")
			l.server.give(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
			l.silent(l.machine(2, nil, pull))
		})
	}
}

func TestAConfigThatDoesNotValidateIsFetchedTwiceASecondAndPort50000StaysClosed(t *testing.T) {
	l := newLab(t, "v1.13.9")
	l.server.give(func(w http.ResponseWriter, _ *http.Request) {
		w.Write([]byte("version: v1alpha1\nmachine:\n    type: foobar\ncluster: {}\n"))
	})
	m := l.machine(2, nil, pull)
	l.silent(m)
	l.server.give(func(w http.ResponseWriter, _ *http.Request) { w.Write(l.controlPlane(m)) })
	l.answers(m)
}

func TestTriesAreMadeAfterPausesThatDouble(t *testing.T) {
	l := newLab(t, "v1.13.9")
	var mu sync.Mutex
	var at []time.Time
	l.server.give(func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		at = append(at, time.Now())
		http.Error(w, "no", http.StatusServiceUnavailable)
	})
	l.machine(2, nil, pull)
	l.until("six tries", func(context.Context) bool { return len(l.server.asked()) >= 6 })
	mu.Lock()
	defer mu.Unlock()
	for i, pause := range []time.Duration{0, time.Second, 3 * time.Second, 7 * time.Second, 15 * time.Second} {
		if got := at[i+1].Sub(at[i]); got < l.world.Real(pause) {
			t.Errorf("pause %d was %v", i, got)
		}
	}
}

func TestTheUUIDInMETAReplacesABadOneOfTheFirmware(t *testing.T) {
	l := newLab(t, "v1.13.9")
	l.machine(2, map[uint8]string{world.MetaUUIDOverride: "11111111-2222-4333-8444-555555555555"}, pull)
	l.until("a try", func(context.Context) bool { return len(l.server.asked()) > 0 })
	if q := l.server.asked()[0]; q != "uuid=11111111-2222-4333-8444-555555555555" {
		t.Errorf("query %q", q)
	}
}

func TestACloudServerTakesItsUserData(t *testing.T) {
	l := newLab(t, "v1.13.9")
	m := l.world.AddMachine(world.Spec{
		Kind: world.Cloud, Number: 7, Name: "cloud-7", IPv4: l.ip(7), BootTime: time.Second,
		Disks: []*world.Disk{{Name: "sda", SizeBytes: 20 << 30, Transport: "scsi"}},
	})
	if err := world.InstallImage(m.Disks[0], world.ImageSpec{Version: l.version, Arch: "amd64", Platform: "hcloud"}); err != nil {
		t.Fatal(err)
	}
	data := l.controlPlane(m)
	env := talosnode.Env{Clusters: talosnode.NewClusters(), UserData: func(*world.Machine) []byte { return data }}
	l.world.BootDisk = func(m *world.Machine) world.System {
		_, info, _ := world.FindBoot(m)
		return talosnode.New(m, info, env)
	}
	m.PowerOn()
	l.answers(m)
}

func TestTheNodeOfAFaultyMachineComesUpAsAnotherVersion(t *testing.T) {
	l := newLab(t, "v1.13.9")
	m := l.machine(2, nil)
	m.Fault(func(f *world.Faults) { f.WrongTalosVersion = "v1.13.0" })
	c := l.maintenance(m)
	v, err := c.Version(context.Background())
	if err != nil || v.GetMessages()[0].GetVersion().GetTag() != "v1.13.0" {
		t.Errorf("%v %v", v, err)
	}
}

// Before 1.13, maintenance mode is a server of its own: of the API's calls it has few (internal/app/maintenance/server.go).
func TestAnOldNodeInMaintenanceModeTellsByItsResourcesAloneWhatItIs(t *testing.T) {
	l := newLab(t, "v1.13.9")
	m := l.machine(2, nil)
	m.Fault(func(f *world.Faults) { f.WrongTalosVersion = "v1.12.0" })
	c := l.maintenance(m)
	if _, err := c.Version(context.Background()); status.Code(err) != codes.Unimplemented {
		t.Errorf("Version says %v", err)
	}
	if v, err := safe.StateGet[*runtime.Version](context.Background(), c.COSI, runtime.NewVersion().Metadata()); err != nil || v.TypedSpec().Version != "v1.12.0" {
		t.Errorf("the resource says %v %v", v, err)
	}
	if _, err := c.ApplyConfiguration(context.Background(), &machine.ApplyConfigurationRequest{Data: l.controlPlane(m), DryRun: true}); err != nil {
		t.Error(err)
	}
}
