package demo

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/client"
)

// How long from the start of the program to its first answer, how much memory it has resident with 1,000 servers, how
// large it is. The program is the stripped binary that people run.
func BenchmarkStart(b *testing.B) {
	dir := b.TempDir()
	binary := filepath.Join(dir, "talos-manager")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, "../../cmd/talos-manager")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	info, err := os.Stat(binary)
	if err != nil {
		b.Fatal(err)
	}
	data := filepath.Join(dir, "data")
	fleetOf(b, data, 1000)
	for b.Loop() {
		b.ReportMetric(startOnce(b, binary, data, 1000), "s-to-answer(<1)")
	}
	b.ReportMetric(float64(info.Size())/1e6, "MB-binary(<100)")
}

// fleetOf makes a data directory of a manager that has listed so many servers.
func fleetOf(b *testing.B, data string, servers int) {
	b.Helper()
	s := stageFor(b, Options{Servers: servers, Speed: 100, Dir: filepath.Dir(data)})
	defer s.drop()
	if err := s.accounts(b.Context()); err != nil {
		b.Fatal(err)
	}
}

func stageFor(b *testing.B, o Options) *stage {
	b.Helper()
	o = o.withDefaults()
	o.Listen = "127.0.0.1:0"
	o.Log = quiet
	if err := os.MkdirAll(filepath.Join(o.Dir, "data"), 0o700); err != nil {
		b.Fatal(err)
	}
	s, err := raise(b.Context(), o)
	if err != nil {
		b.Fatal(err)
	}
	return s
}

var resident = regexp.MustCompile(`VmRSS:\s+(\d+) kB`)

func startOnce(b *testing.B, binary, data string, servers int) float64 {
	b.Helper()
	password, err := os.ReadFile(filepath.Join(data, "password"))
	if err != nil {
		b.Fatal(err)
	}
	begun := time.Now()
	run := exec.Command(binary, "serve", "--listen", "127.0.0.1:18080", "--data-dir", data)
	run.Stderr = os.Stderr
	if err := run.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() {
		run.Process.Signal(os.Interrupt)
		run.Wait()
	}()
	for {
		resp, err := http.Get("http://127.0.0.1:18080/healthz")
		if err == nil {
			resp.Body.Close()
			break
		}
		if time.Since(begun) > 20*time.Second {
			b.Fatal("it does not answer")
		}
		time.Sleep(2 * time.Millisecond)
	}
	took := time.Since(begun).Seconds()
	c, err := client.New(client.Options{URL: "http://127.0.0.1:18080", Password: string(password[:len(password)-1])})
	if err != nil {
		b.Fatal(err)
	}
	begun = time.Now()
	list, err := c.Servers(b.Context(), client.ServerFilter{})
	if err != nil || list.Total != servers {
		b.Fatalf("%d servers, %v", list.Total, err)
	}
	b.ReportMetric(float64(time.Since(begun).Milliseconds()), "ms-list-1000")
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", run.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	kb, _ := strconv.Atoi(resident.FindStringSubmatch(string(status))[1])
	b.ReportMetric(float64(kb)/1024, "MB-resident(<150)")
	return took
}

// 1,000 servers are listed: how long it takes, and how many calls of the budgets it costs.
func BenchmarkSync(b *testing.B) {
	s := stageFor(b, Options{Servers: 1000, Speed: 100, Dir: b.TempDir()})
	defer s.drop()
	if err := s.accounts(b.Context()); err != nil {
		b.Fatal(err)
	}
	before, _ := s.calls()
	n := 0
	for b.Loop() {
		begun := time.Now()
		if _, err := s.client.SyncServers(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(time.Since(begun).Seconds(), "s-sync-1000")
		n++
	}
	after, refused := s.calls()
	b.ReportMetric(float64(after-before)/float64(n), "calls/sync")
	b.ReportMetric(float64(refused), "refused(=0)")
}

// calls counts what the simulated APIs were asked, and what they refused.
func (s *stage) calls() (calls, refused int) {
	for _, l := range s.world.logins {
		for _, c := range s.sim.Robot.Counts(l.User) {
			calls, refused = calls+c.Calls, refused+c.Refused
		}
	}
	for _, t := range s.world.tokens {
		for _, c := range s.sim.Cloud.Counts(t) {
			calls, refused = calls+c.Calls, refused+c.Refused
		}
	}
	return calls, refused
}

// 200 installs at once, from rented servers to a cluster of 200 Ready nodes.
func BenchmarkInstalls(b *testing.B) {
	for b.Loop() {
		s := stageFor(b, Options{Servers: 200, Speed: 20, Dir: b.TempDir()})
		begun := time.Now()
		ctx, cancel := context.WithTimeout(b.Context(), 9*time.Minute)
		err := s.perform(ctx)
		cancel()
		_, refused := s.calls()
		s.drop()
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(time.Since(begun).Seconds(), "s-200-installs")
		b.ReportMetric(float64(refused), "refused(=0)")
	}
}
