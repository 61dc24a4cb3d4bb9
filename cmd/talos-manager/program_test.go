package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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
)

const password = "correct horse battery"

// built is the program as people run it, built once for all tests of this package.
var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "talos-manager-e2e")
	if err != nil {
		return "", err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // for tests that run it as somebody else
		return "", err
	}
	path := filepath.Join(dir, "talos-manager")
	if out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := built(); err == nil {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

func binary(t *testing.T) string {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// program is the program as a process of its own.
type program struct {
	t      *testing.T
	args   []string
	env    []string
	url    string
	client *client.Client
	token  string // for commands

	mu      sync.Mutex
	process *exec.Cmd
	ended   chan struct{}
	out     output
}

// output is what a process says; shown when its test fails.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// serve prepares `talos-manager serve` against a simulated Hetzner on real sockets. env wins over what it sets.
func serve(t *testing.T, l *lab, env ...string) *program {
	t.Helper()
	addr := freeAddress(t)
	p := &program{t: t, args: []string{"serve"}, url: "http://" + addr, env: append(os.Environ(), append([]string{
		"LISTEN=" + addr, "HOST=http://" + addr, "DATA_DIR=" + filepath.Join(t.TempDir(), "data"), "BASIC_AUTH_PASSWORD=" + password,
		"HCLOUD_ENDPOINT=" + l.sim.ExposedCloud(), "ROBOT_URL=" + l.sim.ExposedRobot(), "FACTORY_URL=" + l.sim.ExposedFactory(),
		fmt.Sprintf("RESCUE_SSH_PORT=%d", l.sim.SSHPort()), fmt.Sprintf("PACE=%d", pace),
	}, env...)...)}
	var err error
	if p.client, err = client.New(client.Options{URL: p.url, Password: password}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			said := strings.Split(p.out.String(), "\n")
			t.Logf("%s said last:\n%s", p.url, strings.Join(said[max(0, len(said)-20):], "\n"))
		}
	})
	return p
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// launch starts the process and does not wait for anything.
func (p *program) launch() {
	p.t.Helper()
	cmd := exec.Command(binary(p.t), p.args...)
	cmd.Env = p.env
	cmd.Stdout, cmd.Stderr = &p.out, &p.out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		cmd.Wait() //nolint:errcheck // how it ended is in its state
		close(ended)
	}()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.process, p.ended = cmd, ended
}

// start starts the process and waits for its first answer.
func (p *program) start() {
	p.t.Helper()
	p.launch()
	p.answers()
}

func (p *program) answers() {
	p.t.Helper()
	eventually(p.t, 20*time.Second, p.url+" answers", func() bool {
		select {
		case <-p.ended:
			p.t.Fatalf("it ended:\n%s", p.out.String())
		default:
		}
		_, err := p.client.Version(p.t.Context())
		return err == nil
	})
	if p.token != "" {
		return
	}
	made, err := p.client.CreateToken(p.t.Context(), client.NewToken{Name: "shell-" + p.url[strings.LastIndex(p.url, ":")+1:]})
	if err != nil {
		p.t.Fatal(err)
	}
	p.token = made.Token
}

// kill is kill -9.
func (p *program) kill() { p.signal(syscall.SIGKILL) }

// signal sends a signal and waits for the end.
func (p *program) signal(s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.process == nil {
		return
	}
	p.process.Process.Signal(s) //nolint:errcheck // it may have ended already
	select {
	case <-p.ended:
	case <-time.After(20 * time.Second):
		p.process.Process.Kill() //nolint:errcheck
		p.t.Errorf("%s did not end at %s", p.url, s)
	}
	p.process = nil
}

// run runs a command of the program to its end, as somebody at a shell would, and gives what it wrote and its exit code.
func (p *program) run(args ...string) (stdout, stderr string, code int) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary(p.t), args...)
	cmd.Env = append(os.Environ(), "TALOS_MANAGER_URL="+p.url, "TALOS_MANAGER_TOKEN="+p.token)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatalf("talos-manager %s: %v", strings.Join(args, " "), err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// eventually asks until the answer is yes.
func eventually(t *testing.T, within time.Duration, what string, yes func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); !yes(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s in vain: %s", within, what)
		}
	}
}
