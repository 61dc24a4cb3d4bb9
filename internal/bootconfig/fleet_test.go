package bootconfig_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/app"
	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig"
	"github.com/talos-manager/talos-manager/internal/store"
	"github.com/talos-manager/talos-manager/internal/wait"
)

var quiet = slog.New(slog.DiscardHandler)

// booting is a fleet whose machines all boot at once.
type booting struct {
	settings app.Settings
	machines []machine
	plain    map[string][]byte // config by query, for the plain server
	store    *store.Store
	round    int
}

// machine is what one of them is and sends.
type machine struct {
	server, uuid, code string
}

func (m *machine) query() string { return "uuid=" + m.uuid + "&code=" + m.code }

const clusterSize = 500

// newFleet makes the records of clusters with so many workers altogether.
func newFleet(b *testing.B, settings map[string]string, n int) *booting {
	b.Helper()
	f := &booting{settings: must(app.Read(settings, func(string) string { return "" }, ""))(b)}
	f.settings.SyncEvery, f.settings.LookEvery = time.Hour, time.Hour
	f.store = f.start(b).Store
	ctx := b.Context()
	account := must(f.store.CreateAccount(ctx, fleet.Account{Name: "cloud", Provider: fleet.HetznerCloud, Token: "x"}))(b)
	var listed []fleet.Server
	for i := range n {
		listed = append(listed, fleet.Server{
			Provider: fleet.HetznerCloud, ProviderID: strconv.Itoa(i), Name: fmt.Sprintf("worker-%05d", i), Architecture: fleet.AMD64,
			IPv4: fmt.Sprintf("10.%d.%d.%d", 1+i>>16, i>>8&255, i&255), IPv6Net: fmt.Sprintf("2001:db8:%x::/64", i),
		})
	}
	added := must(f.store.SyncServers(ctx, account.ID, listed, nil, time.Now()))(b).Added
	config := must(f.store.CreateConfig(ctx, fleet.Config{Name: "base", Contents: fleet.Contents{Patches: []fleet.Patch{
		{Name: "all", Text: "machine:\n  sysctls:\n    vm.max_map_count: 262144\n  certSANs: [${hostname}.example.com]\n"},
		{Name: "kubespan", Text: "machine: {network: {kubespan: {enabled: true, mtu: 1320}}}"},
	}}}, "bench"))(b)
	secrets := must(machineconfig.NewSecrets(machineconfig.NewestTalos(), time.Now()))(b)
	for i := 0; i < n; i += clusterSize {
		cluster := must(f.store.CreateCluster(ctx, fleet.Cluster{
			Name: fmt.Sprintf("prod-%d", i/clusterSize), Endpoint: "https://203.0.113.9:6443", TalosVersion: machineconfig.NewestTalos(),
			KubernetesVersion: machineconfig.DefaultKubernetes(), ConfigID: config.ID, Secrets: secrets,
		}))(b)
		must(0, f.store.Edit(ctx, "assign many", nil, func(e *store.Edit) error {
			for _, s := range added[i:min(n, i+clusterSize)] {
				if _, err := e.Assign(ctx, s.ID, fleet.Assignment{ClusterID: cluster.ID, Role: fleet.Worker}); err != nil {
					return err
				}
			}
			return nil
		}))(b)
	}
	for i, s := range added {
		f.machines = append(f.machines, machine{server: s.ID, uuid: fmt.Sprintf("4c4c4544-0042-3510-8050-%012x", i)})
	}
	return f
}

// start starts the program, but for its listener. Nothing foreign can be reached.
func (f *booting) start(b *testing.B) *app.App {
	b.Helper()
	nowhere := func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("there is no network") }
	if f.store != nil {
		must(0, f.store.Close())(b)
	}
	a := must(app.New(context.Background(), f.settings, app.Options{Log: quiet, Dial: nowhere}))(b)
	f.store = a.Store
	return a
}

// arm gives every machine a new one-time code, as installs do.
func (f *booting) arm(b *testing.B) {
	b.Helper()
	f.round++
	var all sync.WaitGroup
	const workers = 16
	for w := range workers {
		all.Go(func() {
			for i := w; i < len(f.machines); i += workers {
				m := &f.machines[i]
				m.code = fmt.Sprintf("CODE%d-%d", f.round, i)
				sum := sha256.Sum256([]byte(m.code))
				_, err := f.store.Arm(b.Context(), store.Arm{
					ServerID: m.server, OperationID: "op", CodeHash: hex.EncodeToString(sum[:]), UUID: m.uuid,
					ArmedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour),
				})
				if err != nil {
					b.Error(err)
				}
			}
		})
	}
	all.Wait()
}

func (f *booting) waitUntilReady(b *testing.B, a *app.App) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), 10*time.Minute)
	defer cancel()
	must(0, wait.Until(ctx, "all configs to be rendered", 10*time.Millisecond, func(context.Context) (bool, error) {
		return a.Boot.Ready() == len(f.machines), nil
	}))(b)
}

// render gives what every machine should get, and lets the plain server answer it.
func (f *booting) render(b *testing.B, a *app.App) (configs [][]byte) {
	b.Helper()
	servers := map[string]fleet.Server{}
	for _, s := range must(f.store.Servers(b.Context(), store.ServerFilter{}))(b) {
		servers[s.ID] = s
	}
	f.plain = map[string][]byte{}
	for i := range f.machines {
		m := &f.machines[i]
		config := must(a.Manager.Renderer.MachineConfig(b.Context(), servers[m.server]))(b).YAML
		f.plain[m.query()] = config
		configs = append(configs, config)
	}
	return configs
}

// ask lets every machine ask once, over so many connections that are kept alive. configs are the answers to expect; nil:
// any config.
func (f *booting) ask(b *testing.B, address string, connections int, configs [][]byte) figures {
	b.Helper()
	conns := make([]net.Conn, connections)
	for i := range conns {
		conns[i] = must(net.Dial("tcp", address))(b)
		defer conns[i].Close()
	}
	took := make([]time.Duration, len(f.machines))
	var all sync.WaitGroup
	begun := time.Now()
	for c, conn := range conns {
		all.Go(func() {
			in := bufio.NewReaderSize(conn, 32<<10)
			var body []byte
			for i := c; i < len(f.machines); i += len(conns) {
				sent := time.Now()
				status, got, err := fetch(conn, in, f.machines[i].query(), body)
				took[i], body = time.Since(sent), got
				if err != nil || status != 200 || configs != nil && !bytes.Equal(got, configs[i]) || !bytes.Contains(got, []byte("machine:")) {
					b.Errorf("machine %d got status %d with %d bytes, %v", i, status, len(got), err)
					return
				}
			}
		})
	}
	all.Wait()
	seconds := time.Since(begun).Seconds()
	slices.Sort(took)
	return figures{perSecond: float64(len(took)) / seconds, p50: took[len(took)/2], p99: took[len(took)*99/100]}
}

// fetch is as little of an HTTP client as it takes: what it costs is missing to the servers.
func fetch(conn net.Conn, in *bufio.Reader, query string, body []byte) (status int, _ []byte, err error) {
	if _, err := conn.Write([]byte("GET /config?" + query + " HTTP/1.1\r\nHost: storm\r\nUser-Agent: Talos\r\n\r\n")); err != nil {
		return 0, body, err
	}
	length := -1
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return 0, body, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		if v, ok := bytes.CutPrefix(line, []byte("HTTP/1.1 ")); ok {
			status, err = strconv.Atoi(string(v[:3]))
		} else if v, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			length, err = strconv.Atoi(string(v))
		}
		if err != nil {
			return 0, body, err
		}
	}
	if length < 0 {
		return status, body, errors.New("an answer without a length")
	}
	body = slices.Grow(body[:0], length)[:length]
	_, err = io.ReadFull(in, body)
	return status, body, err
}

// checkServed makes sure that every machine is recorded as served, with its event.
func (f *booting) checkServed(b *testing.B) {
	b.Helper()
	if left := must(f.store.Waiting(b.Context(), time.Now()))(b); len(left) > 0 {
		b.Fatalf("%d machines are not recorded as served", len(left))
	}
	told := map[string]int{}
	for _, e := range must(f.store.Events(b.Context(), store.EventFilter{Verb: "config.served"}))(b) {
		told[e.TargetID]++
	}
	for _, m := range f.machines {
		if told[m.server] != f.round {
			b.Fatalf("server %s: %d events of %d", m.server, told[m.server], f.round)
		}
	}
}

// checkRefused makes sure that no code opens twice.
func (f *booting) checkRefused(b *testing.B, address string) {
	b.Helper()
	conn := must(net.Dial("tcp", address))(b)
	defer conn.Close()
	in := bufio.NewReader(conn)
	for i := 0; i < len(f.machines); i += 100 {
		if status, _, err := fetch(conn, in, f.machines[i].query(), nil); err != nil || status != 403 {
			b.Errorf("a second fetch of machine %d got status %d, %v", i, status, err)
		}
	}
}

// resident is the memory of the process, the client's and the plain server's included.
func resident(b *testing.B) float64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0 // another system
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb := must(strconv.Atoi(strings.Fields(v)[0]))(b)
			return float64(kb) / 1000
		}
	}
	return 0
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
