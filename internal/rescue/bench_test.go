package rescue_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sync/errgroup"

	"github.com/talos-manager/talos-manager/internal/rescue"
	"github.com/talos-manager/talos-manager/internal/simulator/rescuehost"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// benchMachines is how many rescue systems are asked at once.
const benchMachines = 100

// BenchmarkFacts reads the facts of 100 rescue systems at once, each with a mirror over two disks and an earlier Talos on
// a third. They are simulated, in a process of their own, behind real SSH on loopback: what their shells and tools cost is
// in the time, since it is the same processor. Goal: under 10 s. The memory is that of our side alone.
func BenchmarkFacts(b *testing.B) {
	key := signer(b)
	addresses := benchHosts(b, key)
	ctx, cancel := context.WithTimeout(b.Context(), 2*time.Minute)
	defer cancel()
	for b.Loop() {
		before, stop := heap(), make(chan struct{})
		var most atomic.Int64
		go watchHeap(&most, stop)
		group, ctx := errgroup.WithContext(ctx)
		start := time.Now()
		for _, port := range addresses {
			group.Go(func() error {
				return readFacts(ctx, rescue.Options{Server: "node", Address: "127.0.0.1", Port: port, Key: key})
			})
		}
		if err := group.Wait(); err != nil {
			b.Fatal(err)
		}
		took := time.Since(start)
		close(stop)
		b.ReportMetric(took.Seconds(), "s/100_rescue_systems")
		b.ReportMetric(10, "s_goal")
		b.ReportMetric(float64(max(0, most.Load()-before))/1e6, "MB_peak")
	}
}

func readFacts(ctx context.Context, o rescue.Options) error {
	s, err := rescue.Open(ctx, o)
	if err != nil {
		return err
	}
	defer s.Close()
	f, err := s.Facts(ctx)
	if err == nil && (len(f.Disks) != 3 || len(f.Arrays) != 1 || f.Disks[2].Talos == nil || f.Disks[2].Talos.Cluster != "old") {
		err = fmt.Errorf("facts of %d: %+v", o.Port, f)
	}
	return err
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// watchHeap notes the most that is in use at once.
func watchHeap(most *atomic.Int64, stop chan struct{}) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most.Store(max(most.Load(), int64(m.HeapAlloc)))
		}
	}
}

const benchKey = "TALOS_MANAGER_BENCH_KEY"

// benchHosts starts the rescue systems in a process of their own and gives their ports.
func benchHosts(b *testing.B, key ssh.Signer) []int {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), os.Args[0], "-test.run=^TestRescueSystemsForTheBenchmark$")
	cmd.Env = append(os.Environ(), benchKey+"="+strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key.PublicKey()))))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		stdin.Close() // it ends with its input
		_ = cmd.Wait()
	})
	var ports []int
	for lines := bufio.NewScanner(out); len(ports) < benchMachines; {
		if !lines.Scan() {
			b.Fatal("the rescue systems do not come up")
		}
		var port int
		if n, _ := fmt.Sscanf(lines.Text(), "port %d", &port); n == 1 {
			ports = append(ports, port)
		}
	}
	go io.Copy(io.Discard, out) //nolint:errcheck // ends with the process
	return ports
}

// TestRescueSystemsForTheBenchmark is the other process of BenchmarkFacts: no test.
func TestRescueSystemsForTheBenchmark(t *testing.T) {
	line := os.Getenv(benchKey)
	if line == "" {
		t.Skip("it serves BenchmarkFacts")
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil {
		t.Fatal(err)
	}
	w := world.New(world.Options{Speed: 1000})
	defer w.Close()
	host := signer(t)
	w.BootRescue = func(m *world.Machine, a world.Rescue) world.System { return rescuehost.New(m, a, rescuehost.Options{}) }
	var all []netip.Addr
	for i := range benchMachines {
		a := netip.AddrFrom4([4]byte{203, 0, 113, byte(i + 1)})
		m := w.AddMachine(world.Spec{Number: int64(i + 1), Name: fmt.Sprint("node-", i), IPv4: a, BootTime: time.Second, Disks: benchDisks(t, i), UEFI: true})
		m.Arm(&world.Rescue{Keys: []ssh.PublicKey{key}, HostKeys: []ssh.Signer{host}, At: time.Now(), OS: "linux"})
		m.PowerOn()
		all = append(all, a)
	}
	for _, a := range all {
		up := func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			return rescue.Answers(ctx, rescue.Options{Address: a.String(), Dial: w.Net.DialContext})
		}
		for deadline := time.Now().Add(time.Minute); !up(); {
			if time.Now().After(deadline) {
				t.Fatal("a rescue system does not come up")
			}
		}
		fmt.Printf("port %d\n", forward(t, w, netip.AddrPortFrom(a, 22).String()))
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func benchDisks(t *testing.T, i int) []*world.Disk {
	t.Helper()
	var disks []*world.Disk
	for j := range 3 {
		d := &world.Disk{Name: fmt.Sprintf("sd%c", 'a'+j), Model: "SSD", Serial: fmt.Sprintf("S%d-%d", i, j), WWN: fmt.Sprintf("0x5000c500%08x", i*4+j), SizeBytes: 512 << 30, Transport: "sata"}
		if j == 2 {
			installOld(t, d, oldConfig)
		} else if err := rescuehost.WriteRAIDMember(d, 0, 100<<30, "rescue:0", 1, 2); err != nil {
			t.Fatal(err)
		}
		disks = append(disks, d)
	}
	return disks
}

// forward makes an address of the world reachable on loopback.
func forward(t *testing.T, w *world.World, to string) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			outside, err := l.Accept()
			if err != nil {
				return
			}
			inside, err := w.Net.DialContext(t.Context(), "tcp", to)
			if err != nil {
				outside.Close()
				continue
			}
			go func() { _, _ = io.Copy(inside, outside); inside.Close() }()
			go func() { _, _ = io.Copy(outside, inside); outside.Close() }()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}
