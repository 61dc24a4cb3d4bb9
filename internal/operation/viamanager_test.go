package operation_test

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/imagecache"
	"github.com/talos-manager/talos-manager/internal/operation"
	"github.com/talos-manager/talos-manager/internal/simulator/factory"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

// imageCache has the program hand out images at manager.sim, and counts what machines ask for.
func (l *lab) imageCache(t *testing.T) (asked func() int) {
	t.Helper()
	cache := imagecache.New(imagecache.Options{
		Dir: t.TempDir(), MaxBytes: 1e9, Client: l.http, URL: "http://manager.sim", Key: []byte("key"), Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	listener, err := l.sim.World.Net.Listen("manager.sim:80")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	n := 0
	mux := http.NewServeMux()
	mux.HandleFunc(imagecache.Route, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		n++
		mu.Unlock()
		cache.ServeHTTP(w, r)
	})
	server := &http.Server{Handler: mux}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { server.Serve(listener) })
	running.Go(func() { cache.Run(ctx) })
	t.Cleanup(func() { cancel(); server.Close(); running.Wait() })
	env := l.ops.Env
	env.ImageCache = cache
	l.ops = operation.New(env)
	l.reconcile.Operations = l.ops
	return func() int {
		mu.Lock()
		defer mu.Unlock()
		return n
	}
}

// What one machine has fetched through us, the next gets from us while the factory is down.
func TestAnOutageOfTheFactoryStopsNobodyWhoseImageWeHave(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.cluster(t, []string{"control-plane-1", "worker-1"}, nil)
	asked := l.imageCache(t)
	l.engine(t, workflow.Options{})
	for i, name := range []string{"control-plane-1", "worker-1"} {
		if i == 1 {
			l.sim.Factory.Fault(func(f *factory.Faults) { f.Outage = -1 })
		}
		before := asked()
		op, err := l.ops.Install(t.Context(), "test", name, operation.InstallOptions{ViaManager: true})
		if err != nil {
			t.Fatal(err)
		}
		if op = l.finish(t, op.ID, 90*time.Second); op.State != fleet.Succeeded {
			l.dump(t, op)
			t.Fatalf("install of %s is %s", name, op.State)
		}
		if asked() == before {
			t.Errorf("%s has its image from elsewhere", name)
		}
	}
}

func TestAKernelComesThroughUsToo(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.cluster(t, []string{"control-plane-1"}, nil)
	asked := l.imageCache(t)
	l.engine(t, workflow.Options{})
	op, err := l.ops.Install(t.Context(), "test", "control-plane-1", operation.InstallOptions{ViaManager: true, Boot: fleet.BootKexec})
	if err != nil {
		t.Fatal(err)
	}
	if op = l.finish(t, op.ID, 90*time.Second); op.State != fleet.Succeeded || asked() < 2 {
		l.dump(t, op)
		t.Errorf("install is %s, machines asked us %d times", op.State, asked())
	}
}

func TestAnImageThatWeDoNotGetIsSaidBeforeTheMachineIsTouched(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.cluster(t, []string{"control-plane-1"}, nil)
	l.imageCache(t)
	l.plainImages(l.sim.FactoryURL() + "/image/" + factory.Vanilla + "/v9.9.9/metal-amd64.raw.zst")
	l.engine(t, workflow.Options{})
	op, err := l.ops.Install(t.Context(), "test", "control-plane-1", operation.InstallOptions{ViaManager: true})
	if err != nil {
		t.Fatal(err)
	}
	if op = l.finish(t, op.ID, 60*time.Second); op.State != fleet.Failed || op.Step != "check the records" || !strings.Contains(op.Error, "404") {
		l.dump(t, op)
		t.Errorf("install is %s at %q: %s", op.State, op.Step, op.Error)
	}
}
