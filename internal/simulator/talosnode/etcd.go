package talosnode

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// etcdData is what EPHEMERAL holds of an etcd member.
type etcdData struct {
	Etcd   uint64 `json:"etcd"`
	Member uint64 `json:"member"`
}

// etcdService is the service etcd of one node.
//
//	no data: wait for Bootstrap, or for an etcd of the cluster that takes a learner --> learner --> voter
//	data:    member again
type etcdService struct {
	node *node

	mu        sync.Mutex
	etcd      *etcd
	member    *member
	requested bool      // Bootstrap was called in this boot
	snapshot  []byte    // uploaded with EtcdRecover
	since     time.Time // when the quorum was lost
}

func newEtcdService(n *node) *etcdService { return &etcdService{node: n} }

// definition of the service. Bootstrap loads it anew.
func (s *etcdService) definition(bootstrap, restore bool) definition {
	n := s.node
	return definition{
		id: "etcd", process: true, started: inContainer("etcd"), settles: etcdHealthTime,
		waits: `Waiting for volumes /var/lib, ETCD to be mounted, service "cri" to be "up", time sync, network, etcd spec`,
		wait:  n.afterCRI,
		prepare: func(ctx context.Context) error {
			return s.prepare(ctx, bootstrap, restore)
		},
		work:   s.work,
		health: s.health,
	}
}

// asked says that the boot does not wait for a service any more: Bootstrap was called.
func (s *etcdService) asked(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return id == "etcd" && s.requested
}

func (s *etcdService) data() *etcdData {
	raw := s.node.file(ephemeral, etcdFile)
	if len(raw) == 0 {
		return nil
	}
	d := &etcdData{}
	if json.Unmarshal(raw, d) != nil {
		return nil
	}
	return d
}

func (s *etcdService) keep(e *etcd, m *member) error {
	raw, err := json.Marshal(etcdData{Etcd: e.id, Member: m.id})
	if err != nil {
		return err
	}
	return s.node.setFile(ephemeral, etcdFile, raw)
}

// prepare finds out which member this node is. It waits, for ever if need be, for an etcd that takes it.
func (s *etcdService) prepare(ctx context.Context, bootstrap, restore bool) error {
	if d := s.data(); d != nil {
		e, m := s.node.env.Clusters.find(s.node, d.Etcd, d.Member)
		if m == nil {
			return errors.New("the member has been permanently removed from the cluster")
		}
		s.attach(e, m)
		return nil
	}
	s.forget()
	if bootstrap {
		return s.bootstrap(restore)
	}
	for {
		if e, m := s.node.env.Clusters.addLearner(s.node); m != nil {
			s.attach(e, m)
			return s.keep(e, m)
		}
		if !s.node.sleep(ctx, joinTime) {
			return ctx.Err()
		}
	}
}

// forget throws away what other nodes remember of data this disk does not hold any more.
func (s *etcdService) forget() {
	for _, kube := range s.node.env.Clusters.lost(s.node.machine) {
		if k := s.node.env.Kubernetes; k != nil {
			k.Forget(kube)
		}
	}
}

func (s *etcdService) bootstrap(restore bool) error {
	kube := ""
	if restore {
		s.mu.Lock()
		snapshot := s.snapshot
		s.mu.Unlock()
		if snapshot == nil {
			return errors.New("error verifying snapshot: stat /var/lib/etcd.snapshot: no such file or directory")
		}
		kube = snapshotOf(snapshot)
	}
	e, m := s.node.env.Clusters.bootstrap(s.node, kube)
	s.attach(e, m)
	return s.keep(e, m)
}

func (s *etcdService) attach(e *etcd, m *member) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.etcd, s.member, s.since = e, m, time.Time{}
}

// detach takes the member down, as a power cut does.
func (s *etcdService) detach() {
	s.mu.Lock()
	m := s.member
	s.mu.Unlock()
	s.node.env.Clusters.with(func() {
		if m != nil && m.node == s.node {
			m.node = nil
		}
	})
}

// work is what the running process does: it votes, and a learner becomes a voter.
func (s *etcdService) work(ctx context.Context) {
	n := s.node
	e, m := s.own()
	var learner bool
	n.env.Clusters.with(func() {
		learner = m.learner
		if !learner {
			m.node, m.name = n, n.hostname()
		}
	})
	if learner && n.sleep(ctx, learnerNameTime) {
		n.env.Clusters.with(func() { m.node, m.name = n, n.hostname() })
	}
	defer s.detach()
	if learner {
		s.promote(ctx, e, m)
	}
	<-ctx.Done()
}

// promote makes the learner a voter once it has caught up: 7 to 34 s after it was added, if a leader agrees.
func (s *etcdService) promote(ctx context.Context, e *etcd, m *member) {
	n := s.node
	wait := learnerTime + time.Duration(rand.N(int64(12*time.Second)))
	for n.sleep(ctx, wait) {
		done := false
		n.env.Clusters.with(func() {
			if e.quorum() {
				m.learner, done = false, true
				e.index++
			}
		})
		if done {
			return
		}
		wait = 5 * time.Second
	}
}

func (s *etcdService) own() (*etcd, *member) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.etcd, s.member
}

// serving gives this node's etcd if its process runs.
func (s *etcdService) serving() (*etcd, *member) {
	e, m := s.own()
	up := false
	s.node.env.Clusters.with(func() { up = m != nil && m.node == s.node && e.member(m.id) != nil })
	if !up {
		return nil, nil
	}
	return e, m
}

// health is the check of Talos: a read through the leader.
func (s *etcdService) health() error {
	e, m := s.own()
	var learner, quorum bool
	s.node.env.Clusters.with(func() { learner, quorum = m.learner, e.quorum() && e.member(m.id) != nil })
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case learner:
		return errors.New("etcdserver: rpc not supported for learner")
	case quorum:
		s.since = time.Time{}
		return nil
	case s.since.IsZero():
		s.since = time.Now()
	}
	if v, _ := s.node.services.get("etcd"); v.healthy && time.Since(s.since) < s.node.w.Real(quorumFailing) {
		return nil
	}
	return errors.New("context deadline exceeded")
}

// Bootstrap implements machine.MachineServiceServer. It asks only this node: on a control plane that has not
// joined yet it makes a second etcd, with a second Kubernetes, of the same cluster.
func (v *server) Bootstrap(ctx context.Context, in *machine.BootstrapRequest) (*machine.BootstrapResponse, error) {
	n := v.node
	// A real node waits 1 s for its container runtime, which is up by then where its disk takes no time. It is
	// recorded that Bootstrap is accepted as soon as the API answers, so wait for what a disk takes here.
	wait, cancel := context.WithTimeout(ctx, max(n.w.Real(10*time.Second), 100*time.Millisecond))
	defer cancel()
	if !n.services.until(wait, func() bool { return n.services.up("cri") }) {
		return nil, status.Error(codes.FailedPrecondition, "bootstrap is not available yet")
	}
	if !n.controlPlane() {
		return nil, onlyControlPlane("bootstrap")
	}
	if etcdCA(n.config()) == "" {
		return nil, status.Error(codes.InvalidArgument, "etcd is not configured, bootstrap is not possible")
	}
	v.bootstrapping.Lock()
	defer v.bootstrapping.Unlock()
	if n.etcd.data() != nil {
		return nil, status.Error(codes.AlreadyExists, "etcd data directory is not empty")
	}
	n.services.stop(ctx, "etcd")
	if n.etcd.data() != nil { // it joined while it was being stopped
		n.services.start(n.etcd.definition(false, false))
		return nil, status.Error(codes.Unknown, "etcd data directory is not empty")
	}
	n.etcd.mu.Lock()
	n.etcd.requested = true
	n.etcd.mu.Unlock()
	if s := n.services.find("etcd"); s != nil {
		n.services.say(s, "Finished", "Bootstrap requested")
	}
	n.services.start(n.etcd.definition(true, in.GetRecoverEtcd()))
	return &machine.BootstrapResponse{Messages: []*machine.Bootstrap{{}}}, nil
}

// leaveForGood is the task of a graceful reset: leave the etcd cluster, stop, and throw the data away.
func (s *etcdService) leaveForGood(ctx context.Context) error {
	if e, _ := s.serving(); e == nil {
		return nil
	}
	if err := s.leave(ctx); err != nil {
		return err
	}
	if err := s.node.pass(ctx, leaveTime); err != nil {
		return err
	}
	s.node.services.stop(ctx, "etcd")
	return s.node.setFile(ephemeral, etcdFile, nil)
}

// peerAddresses are the URLs other members use.
func (n *node) peerAddresses() []string {
	var subnets []string
	if e := n.config().Cluster().Etcd(); e != nil {
		subnets = e.AdvertisedSubnets()
	}
	all := n.addresses()
	picked := slices.DeleteFunc(slices.Clone(all), func(a netip.Addr) bool { return !within(a, subnets) })
	if len(picked) == 0 {
		picked = all[:min(1, len(all))]
	}
	urls := make([]string, 0, len(picked))
	for _, a := range picked {
		urls = append(urls, a.String())
	}
	return urls
}

func within(a netip.Addr, subnets []string) bool {
	for _, s := range subnets {
		if p, err := netip.ParsePrefix(strings.TrimPrefix(s, "!")); err == nil && p.Contains(a) {
			return !strings.HasPrefix(s, "!")
		}
	}
	return false
}
