package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/client"
	"github.com/talos-manager/talos-manager/internal/app"
	"github.com/talos-manager/talos-manager/internal/simulator/emulated"
	"github.com/talos-manager/talos-manager/internal/simulator/emulated/image"
	"github.com/talos-manager/talos-manager/internal/simulator/emulated/image/console"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

const (
	emulatedAddress = "203.0.113.10" // of the machine, for the manager
	loopbackOfGuest = "10.0.2.2"     // what the machine calls this machine's loopback
)

// emulatedLab is a manager, an image factory and one emulated machine whose rescue system is up. Nothing in it is simulated but
// what the machine is made of, and its Talos.
type emulatedLab struct {
	*testing.T
	machine *emulated.Machine
	app     *app.App
	client  *client.Client
	factory *image.Factory
	port    string // of the manager
}

// emulatedCase is how a machine is made and installed.
type emulatedCase struct {
	firmware emulated.Firmware
	uuid     string // "": a good one
	memoryMB int
	disks    []emulated.Disk
	furnish  map[int]emulated.Layout // what is on them before
	wwid     string                  // of the disk to install on, as Talos calls it
	plain    bool                    // the image comes from an address of ours and knows nothing of /config
	options  client.InstallOptions
	answer   string // to the question that is asked; "": none is
}

// newEmulatedLab starts it all. A rescue system boots in some 20 s.
func newEmulatedLab(t *testing.T, p image.Parts, c emulatedCase) *emulatedLab {
	t.Helper()
	l := &emulatedLab{T: t, machine: emulated.New(t, emulated.Options{Firmware: c.firmware, UUID: c.uuid, MemoryMB: c.memoryMB, Disks: c.disks})}
	w := world.New(world.Options{})
	t.Cleanup(w.Close)
	var err error
	l.factory, err = image.NewFactory(t.Context(), t.TempDir(), p, w)
	l.must(err)
	server := httptest.NewServer(l.factory)
	t.Cleanup(server.Close)
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	l.must(err)
	l.manage(c, "http://"+net.JoinHostPort(loopbackOfGuest, port))
	l.machine.ArmRescue(l.app.Key.PublicKey())
	l.machine.PowerOn()
	if len(c.furnish) > 0 {
		l.must(l.machine.AwaitRescue(t.Context()))
		for i, layout := range c.furnish {
			l.must(l.machine.Furnish(t.Context(), layout, i))
		}
	}
	return l
}

func (l *emulatedLab) must(err error) {
	l.Helper()
	if err != nil {
		l.Fatal(err)
	}
}

// manage starts a manager.
func (l *emulatedLab) manage(c emulatedCase, factory string) {
	l.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	l.must(err)
	_, l.port, err = net.SplitHostPort(listener.Addr().String())
	l.must(err)
	values := map[string]string{
		"data-dir": l.TempDir(), "password": "secret", "host": "http://" + net.JoinHostPort(loopbackOfGuest, l.port), "factory-url": factory,
	}
	if c.plain {
		values["talos-amd64-image-url"] = factory + "/image/" + vanilla + "/v1.14.1/metal-amd64.raw.zst"
	}
	settings, err := app.Read(values, func(string) string { return "" }, "")
	l.must(err)
	l.app, err = app.New(l.Context(), settings, app.Options{
		Version: "test", Dial: l.dial, Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
		// An emulated processor that shares a real one takes ten times as long for everything.
		Engine: workflow.Options{Poll: 100 * time.Millisecond, Backoff: 100 * time.Millisecond, StepTimeout: time.Minute, Lease: 90 * time.Second},
	})
	l.must(err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.app.Run(ctx, listener) }()
	l.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			l.Error(err)
		}
		l.app.Close()
	})
	url := "http://" + net.JoinHostPort("127.0.0.1", l.port)
	first, err := client.New(client.Options{URL: url, Password: "secret"})
	l.must(err)
	made, err := first.CreateToken(l.Context(), client.NewToken{Name: "lab"})
	l.must(err)
	l.client, err = client.New(client.Options{URL: url, Token: made.Token})
	l.must(err)
}

// dial is the manager's network: the machine has the address that it was added by, and the guest's name for our loopback is good
// for us, too.
func (l *emulatedLab) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	switch host {
	case emulatedAddress:
		return l.machine.Dial(ctx, network, addr)
	case loopbackOfGuest:
		addr = net.JoinHostPort("127.0.0.1", port)
	}
	return (&net.Dialer{}).DialContext(ctx, network, addr)
}

// assign adds the machine by its address and makes it the first control plane of a cluster.
func (l *emulatedLab) assign(c emulatedCase) {
	l.Helper()
	_, err := l.client.AddServer(l.Context(), client.NewServer{Name: "node-1", Address: emulatedAddress, HostKey: strings.Join(l.machine.Fingerprints(), " ")})
	l.must(err)
	cluster, role := "prod", client.ControlPlane
	_, err = l.client.CreateCluster(l.Context(), client.NewCluster{Name: cluster, Endpoint: "https://" + emulatedAddress + ":6443"})
	l.must(err)
	_, err = l.client.AssignServer(l.Context(), "node-1", client.AssignmentChange{Cluster: &cluster, Role: &role, InstallDisk: &c.wwid})
	l.must(err)
}

// past waits until an operation has done a step.
func (l *emulatedLab) past(id, step string, within time.Duration) client.Operation {
	l.Helper()
	var op client.Operation
	for deadline := time.Now().Add(within); ; time.Sleep(100 * time.Millisecond) {
		var err error
		op, err = l.client.Operation(l.Context(), id)
		l.must(err)
		for _, s := range op.Steps {
			if s.Name == step && s.State == client.Succeeded {
				return op
			}
		}
		if op.Final() || op.State == client.Asking || time.Now().After(deadline) {
			break
		}
	}
	l.story(op)
	l.Fatalf("the operation is %s at %q, not past %q: %s%s%s", op.State, op.Step, step, op.WaitingFor, op.Question, op.Error)
	return op
}

// asked waits until an operation asks a person.
func (l *emulatedLab) asked(id string) {
	l.Helper()
	for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		op, err := l.client.Operation(l.Context(), id)
		l.must(err)
		if op.State == client.Asking {
			return
		}
		if op.Final() || time.Now().After(deadline) {
			l.story(op)
			l.Fatalf("the operation asks nothing: it is %s at %q", op.State, op.Step)
		}
	}
}

// story prints an operation's log.
func (l *emulatedLab) story(op client.Operation) {
	l.Helper()
	lines, err := l.client.OperationLog(l.Context(), op.ID, 0)
	l.must(err)
	for _, line := range lines.Items {
		l.Logf("%s %s: %s", line.At.Format("04:05.0"), line.Step, line.Text)
	}
}

// says gives the last thing of a kind that the installed system said.
func (l *emulatedLab) says(name string) console.Event {
	l.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if e, ok := console.Last(l.machine.Console().String(), name); ok {
			return e
		}
		if time.Now().After(deadline) {
			l.Fatalf("the machine does not say %q", name)
		}
	}
}

// status of a GET of the manager, at the address that the machine used.
func (l *emulatedLab) status(url string) int {
	l.Helper()
	resp, err := http.Get(strings.Replace(url, loopbackOfGuest, "127.0.0.1", 1))
	l.must(err)
	resp.Body.Close()
	return resp.StatusCode
}
