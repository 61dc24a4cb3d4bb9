package talosnode

import (
	"context"
	"crypto/sha256"
	"net/netip"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/config"
	configmachine "github.com/siderolabs/talos/pkg/machinery/config/machine"

	"github.com/talos-manager/talos-manager/internal/simulator/talosnode/apid"
	"github.com/talos-manager/talos-manager/internal/simulator/talosnode/host"
	"github.com/talos-manager/talos-manager/internal/simulator/talosnode/resources"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// outcome says how a boot ended.
type outcome int

const (
	reboots outcome = iota // through the firmware
	kexecs
	powersOff
)

// node is one boot of Talos. Everything it starts ends before run returns.
type node struct {
	*system
	w      *world.World
	ctx    context.Context // ends with the power or the boot
	cancel context.CancelFunc
	wg     sync.WaitGroup
	halted chan outcome
	boot   *world.Disk // Talos is installed there
	booted time.Time
	bootID string

	events    *eventLog
	services  *services
	sequencer *sequencer
	status    *condition
	api       *api
	etcd      *etcdService
	kube      *kubernetes
	store     *resources.Store
	logs      *host.Logs
	dmesg     *host.Dmesg

	publishing sync.Mutex
	dirty      chan struct{} // the resources are to be looked at again

	mu         sync.Mutex
	running    config.Provider // what the node runs
	persistent config.Provider // what the next boot runs
	complete   chan struct{}   // closed once the running config is enough to boot
	maintained bool            // the maintenance API serves
	rebooting  bool            // by a config change
	revert     *time.Timer     // of a config on trial
	synced     bool            // the clock is right
	online     bool            // the network is up
	meta       map[uint8]string
	keyOf      config.Provider // the config that key is of
	key        string
}

func newNode(s *system) *node {
	n := &node{
		system: s, w: s.machine.World, halted: make(chan outcome, 1), booted: time.Now(), bootID: uuid.NewString(),
		complete: make(chan struct{}), dirty: make(chan struct{}, 1), meta: map[uint8]string{},
	}
	n.boot = s.systemDisk()
	for k, v := range s.info.Meta {
		n.meta[k] = v
	}
	n.logs, n.dmesg, n.events = host.NewLogs(), host.NewDmesg(), newEventLog()
	n.status = newCondition(n)
	n.services = newServices(n)
	n.sequencer = newSequencer(n)
	n.etcd = newEtcdService(n)
	n.kube = newKubernetes(n)
	n.api = newAPI(n)
	n.api.server = &server{Host: n.newHost(), node: n}
	store, err := resources.New(apid.Roles)
	if err != nil { // its definitions are constants
		panic(err)
	}
	n.store = store
	return n
}

// run is a boot from the kernel's first line to the machine's end.
func (n *node) run(ctx context.Context) outcome {
	n.ctx, n.cancel = context.WithCancel(ctx)
	defer n.stop()
	n.spawn(n.publisher)
	n.spawn(n.start)
	for {
		select {
		case <-ctx.Done():
			return powersOff // nobody asks
		case end := <-n.halted:
			return end
		case <-n.machine.Buttons():
			n.spawn(func() { n.sequencer.shutdown(n.ctx, true) })
		case <-n.keys:
			n.spawn(func() { n.sequencer.reboot(n.ctx, machine.RebootRequest_FORCE, true) })
		}
	}
}

// start brings the node up: kernel, network, then Talos' first three sequences.
func (n *node) start() {
	if !n.sleep(n.ctx, kernelTime) {
		return
	}
	n.sequencer.boot()
}

// stop ends everything at once: what is left of a machine without power.
func (n *node) stop() {
	n.cancel()
	n.etcd.detach()
	n.env.Clusters.leave(n)
	n.api.cut()
	n.mu.Lock()
	if n.revert != nil {
		n.revert.Stop()
	}
	wasOnline := n.online
	n.online = false
	n.mu.Unlock()
	n.wg.Wait()
	if wasOnline {
		n.w.Net.Down(n.machine.Addresses()...)
	}
}

// spawn runs f until the boot ends.
func (n *node) spawn(f func()) {
	n.wg.Add(1)
	go func() {
		defer n.wg.Done()
		f()
	}()
}

func (n *node) sleep(ctx context.Context, d time.Duration) bool { return n.w.Sleep(ctx, d) }

// rarely is a duration of the world for what happens again and again. It is never so short on the wall that
// hundreds of nodes in a fast world would keep the machine busy.
func (n *node) rarely(d time.Duration) time.Duration {
	return max(n.w.Real(d), 25*time.Millisecond)
}

// slowly is the same for what costs more.
func (n *node) slowly(d time.Duration) time.Duration {
	return max(n.w.Real(d), 250*time.Millisecond)
}

// rest lets as much time pass as rarely says.
func (n *node) rest(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(n.rarely(d))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// halt ends the boot; the caller waits for its context afterwards.
func (n *node) halt(end outcome) {
	select {
	case n.halted <- end:
	default:
	}
}

// setOnline brings the network up: closed ports refuse from now on.
func (n *node) setOnline() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ctx.Err() != nil || n.online {
		return
	}
	n.online = true
	n.w.Net.Up(n.machine.Addresses()...)
}

func (n *node) config() config.Provider {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.running
}

// configured says whether the node has a config it can run.
func (n *node) configured() bool {
	cfg := n.config()
	return cfg != nil && cfg.CompleteForBoot()
}

func (n *node) machineType() configmachine.Type {
	cfg := n.config()
	if cfg == nil || cfg.Machine() == nil || !cfg.CompleteForBoot() {
		return configmachine.TypeUnknown
	}
	return cfg.Machine().Type()
}

func (n *node) controlPlane() bool { return n.machineType().IsControlPlane() }

// hostname as Talos chooses it: the config's, else the platform's, else one made from the machine's identity.
func (n *node) hostname() string {
	cfg := n.config()
	if cfg != nil {
		if h := cfg.NetworkHostnameConfig(); h != nil && h.Hostname() != "" {
			return h.Hostname()
		}
	}
	if n.info.Platform == "hcloud" && n.machine.Name != "" {
		return n.machine.Name
	}
	return "talos-" + stableName(n.uuid())
}

// uuid is the machine's identity: META can replace a bad one of the firmware.
func (n *node) uuid() string {
	if v := n.metaValue(world.MetaUUIDOverride); v != "" {
		return v
	}
	return n.machine.UUID
}

func (n *node) metaValue(key uint8) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.meta[key]
}

// address is the one other nodes use.
func (n *node) address() netip.Addr {
	if all := n.machine.Addresses(); len(all) > 0 {
		return all[0]
	}
	return netip.IPv4Unspecified()
}

// stableName is six characters that stay the same for an identity.
func stableName(identity string) string {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789"
	sum := sha256.Sum256([]byte(identity))
	name := []byte{letters[sum[0]%26], '-', 0, 0, 0}
	for i := 2; i < len(name); i++ {
		name[i] = letters[int(sum[i])%len(letters)]
	}
	return string(name)
}

// nodeID is the node's identity for discovery: base62 of 32 bytes.
func (n *node) nodeID() string {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	sum := sha256.Sum256([]byte("node identity of " + n.uuid()))
	id := make([]byte, 43)
	for i := range id {
		id[i] = digits[int(sum[i%32]+byte(i))%len(digits)]
	}
	return string(id)
}
