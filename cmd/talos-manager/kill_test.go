package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/client"
	"github.com/talos-manager/talos-manager/internal/simulator"
	"github.com/talos-manager/talos-manager/internal/simulator/hetzner"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// program is `talos-manager serve` as a process of its own, against a simulated Hetzner on real sockets.
type program struct {
	t       *testing.T
	binary  string
	env     []string
	url     string
	client  *client.Client
	mu      sync.Mutex
	process *exec.Cmd
}

const pace = 20

func TestServeIsKilledAfterEveryStepAndFinishesTheInstall(t *testing.T) {
	token := hetzner.Token("kill")
	sim, err := simulator.New(simulator.Options{
		World: world.Options{Speed: pace, Expose: true, Unprivileged: os.Geteuid() != 0},
		Cloud: hetzner.CloudOptions{Projects: []hetzner.Project{{Token: token}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sim.Close)
	machine := sim.AddCloud(token, "control-plane-1")
	p := newProgram(t, sim)
	p.start()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	if _, err := p.client.AddAccount(ctx, client.NewAccount{Name: "cloud", Provider: "hetzner_cloud", Token: token}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.client.SyncServers(ctx); err != nil {
		t.Fatal(err)
	}
	name := "prod"
	if _, err := p.client.CreateCluster(ctx, client.NewCluster{Name: name, Endpoint: "https://" + machine.IPv4.String() + ":6443"}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.client.AssignServer(ctx, machine.Name, client.AssignmentChange{Cluster: &name}); err != nil {
		t.Fatal(err)
	}
	op, err := p.client.InstallServer(ctx, machine.Name, client.InstallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	killed := p.killAfterEveryStep(ctx, op.ID)
	final, err := p.client.Operation(ctx, op.ID)
	if err != nil || final.State != "succeeded" {
		t.Fatalf("it is %s: %s %v", final.State, final.Error, err)
	}
	if killed < 10 {
		t.Errorf("it was killed %d times only", killed)
	}
	if w := machine.Disks[0].Written(); w > 3*world.ImageSize/2 {
		t.Errorf("%d MB were written for an image of %d MB", w>>20, world.ImageSize>>20)
	}
	t.Logf("killed %d times", killed)
}

func newProgram(t *testing.T, sim *simulator.Simulator) *program {
	t.Helper()
	dir := t.TempDir()
	binary := filepath.Join(dir, "talos-manager")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	port := "22"
	if os.Geteuid() != 0 {
		port = "2222"
	}
	p := &program{t: t, binary: binary, url: "http://" + addr, env: append(os.Environ(),
		"LISTEN="+addr, "HOST=http://"+addr, "DATA_DIR="+filepath.Join(dir, "data"), "BASIC_AUTH_PASSWORD=secret",
		"HCLOUD_ENDPOINT="+sim.ExposedCloud(), "ROBOT_URL="+sim.ExposedRobot(), "FACTORY_URL="+sim.ExposedFactory(),
		"RESCUE_SSH_PORT="+port, fmt.Sprintf("PACE=%d", pace))}
	if p.client, err = client.New(client.Options{URL: p.url, Password: "secret"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	return p
}

// start starts the program and waits for its first answer.
func (p *program) start() {
	p.t.Helper()
	cmd := exec.Command(p.binary, "serve")
	cmd.Env = p.env
	stderr, err := cmd.StderrPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	go p.relay(stderr)
	p.mu.Lock()
	p.process = cmd
	p.mu.Unlock()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := p.client.Version(p.t.Context()); err == nil {
			return
		} else if time.Now().After(deadline) {
			p.t.Fatalf("it does not answer: %v", err)
		}
	}
}

func (p *program) relay(r io.Reader) {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		if text := lines.Text(); strings.Contains(text, "level=ERROR") {
			fmt.Fprintln(os.Stderr, text)
		}
	}
}

// kill is kill -9.
func (p *program) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.process == nil {
		return
	}
	p.process.Process.Signal(syscall.SIGKILL)
	p.process.Wait()
	p.process = nil
}

// killAfterEveryStep kills the program as soon as the operation has one more finished step, and starts it again.
func (p *program) killAfterEveryStep(ctx context.Context, id string) int {
	p.t.Helper()
	killed, done := 0, 0
	for ctx.Err() == nil {
		op, err := p.client.Operation(ctx, id)
		if err != nil {
			p.t.Fatal(err)
		}
		finished := 0
		for _, s := range op.Steps {
			if s.State == "succeeded" {
				finished++
			}
		}
		switch {
		case op.Final():
			return killed
		case finished > done:
			done = finished
			p.kill()
			killed++
			p.start()
		default:
			time.Sleep(2 * time.Millisecond)
		}
	}
	p.t.Fatalf("it did not end: %v", ctx.Err())
	return killed
}
