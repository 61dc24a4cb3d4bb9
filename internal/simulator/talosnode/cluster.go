package talosnode

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/siderolabs/crypto/x509"
	"github.com/siderolabs/talos/pkg/machinery/config"

	"github.com/talos-manager/talos-manager/internal/simulator/talosnode/resources"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// Clusters is what the nodes of a world know of each other: what discovery, trustd and etcd's own network carry
// between real nodes.
type Clusters struct {
	mu  sync.Mutex
	all map[string]*group
}

// NewClusters makes an empty registry. The zero value works too.
func NewClusters() *Clusters { return &Clusters{} }

// group is all nodes that share a Kubernetes CA. Its mutex is that of Clusters.
type group struct {
	nodes   []*node              // those that run and have a config
	at      map[netip.Addr]*node // where they are, private addresses included
	servers []*node              // those whose Kubernetes API serves
	etcds   []*etcd              // usually one; a wrong bootstrap makes two
	seen    map[*world.Machine]*affiliate
	changes int // counts changes of seen
}

// affiliate is a node as discovery knows it; it outlasts the node's end.
type affiliate struct {
	resources.Member
	address netip.Addr
	gone    time.Time // when the node was last seen, zero while it runs
}

// etcd is one etcd cluster: members that replicate one another.
type etcd struct {
	id      uint64
	ca      string
	kube    string // key of the Kubernetes state it holds
	members []*member
	term    uint64
	index   uint64
	leader  uint64
	copied  bool // somebody has a snapshot, so that its Kubernetes state can come back
}

// member of an etcd.
type member struct {
	id      uint64
	name    string // "" until a learner has started
	urls    []string
	learner bool
	machine *world.Machine // whose disk holds the data
	node    *node          // that runs it, nil while it is down
	lost    bool           // the data is gone
}

func (m *member) up() bool { return m.node != nil }

// key of the cluster a config belongs to.
func clusterKey(cfg config.Provider) string {
	if cfg == nil || cfg.K8sAPIServerCAConfig() == nil {
		return ""
	}
	if cas := cfg.K8sAPIServerCAConfig().AcceptedCAs(); len(cas) > 0 {
		return fingerprint(cas[0].Crt)
	}
	return ""
}

func fingerprint(pem []byte) string {
	sum := sha256.Sum256(pem)
	return hex.EncodeToString(sum[:8])
}

func etcdCA(cfg config.Provider) string {
	if cfg == nil || cfg.Cluster() == nil || cfg.Cluster().Etcd() == nil || cfg.Cluster().Etcd().CA() == nil {
		return ""
	}
	return fingerprint(cfg.Cluster().Etcd().CA().Crt)
}

func (c *Clusters) of(n *node) *group {
	key := n.clusterKey()
	if c.all == nil {
		c.all = map[string]*group{}
	}
	if c.all[key] == nil {
		c.all[key] = &group{at: map[netip.Addr]*node{}, seen: map[*world.Machine]*affiliate{}}
	}
	return c.all[key]
}

// clusterKey of the node's config, worked out once for each.
func (n *node) clusterKey() string {
	cfg := n.config()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.keyOf != cfg {
		n.keyOf, n.key = cfg, clusterKey(cfg)
	}
	return n.key
}

// join makes a node known to its cluster.
func (c *Clusters) join(n *node) {
	about := &affiliate{Member: n.member(), address: n.address()}
	c.mu.Lock()
	defer c.mu.Unlock()
	own := c.of(n)
	own.seen[n.machine] = about
	own.changes++
	for _, a := range about.Addresses {
		own.at[a] = n
	}
	if !slices.Contains(own.nodes, n) {
		own.nodes = append(own.nodes, n)
	}
}

// renew brings what the cluster knows of a node up to date.
func (c *Clusters) renew(n *node) {
	if slices.Contains(c.nodes(n), n) {
		c.join(n)
	}
}

// leave forgets a node that ended.
func (c *Clusters) leave(n *node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	is := func(o *node) bool { return o == n }
	for _, own := range c.all {
		own.nodes = slices.DeleteFunc(own.nodes, is)
		own.servers = slices.DeleteFunc(own.servers, is)
		maps.DeleteFunc(own.at, func(_ netip.Addr, o *node) bool { return o == n })
		if x := own.seen[n.machine]; x != nil && x.gone.IsZero() {
			x.gone = time.Now()
			own.changes++
		}
	}
}

// serves says whether a node's Kubernetes API serves.
func (c *Clusters) serves(n *node, yes bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	own := c.of(n)
	own.servers = slices.DeleteFunc(own.servers, func(o *node) bool { return o == n })
	if yes {
		own.servers = append(own.servers, n)
	}
}

// nodes lists the running nodes of n's cluster.
func (c *Clusters) nodes(n *node) []*node {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]*node(nil), c.of(n).nodes...)
}

// changesOf counts the changes of what discovery knows.
func (c *Clusters) changesOf(n *node) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.of(n).changes
}

// members lists the nodes that discovery knows: those that run and those that were there lately.
func (c *Clusters) members(n *node) []affiliate {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []affiliate
	own := c.of(n)
	for m, a := range own.seen {
		if !a.gone.IsZero() && time.Since(a.gone) > n.w.Real(discoveryTime) {
			delete(own.seen, m)
			continue
		}
		list = append(list, *a)
	}
	slices.SortFunc(list, func(a, b affiliate) int { return a.address.Compare(b.address) })
	return list
}

// issuer finds a running control plane that can issue certificates of the machine CA: trustd's work.
func (c *Clusters) issuer(n *node) *x509.PEMEncodedCertificateAndKey {
	for _, other := range c.nodes(n) {
		if other.services.up("trustd") {
			if ca := other.config().Machine().Security().IssuingCA(); ca != nil {
				return ca
			}
		}
	}
	return nil
}

// kubeCA finds the key of the Kubernetes CA, which signs what a kubelet asks for.
func (c *Clusters) kubeCA(n *node) *x509.PEMEncodedCertificateAndKey {
	for _, other := range c.nodes(n) {
		if cfg := other.config(); cfg.K8sAPIServerCAConfig() != nil {
			if ca := cfg.K8sAPIServerCAConfig().IssuingCA(); ca != nil {
				return ca
			}
		}
	}
	return nil
}

// public turns an address of the cluster's private network into one the world routes.
func (c *Clusters) public(n *node, addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return addr
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if other := c.of(n).at[ip]; other != nil {
		return net.JoinHostPort(other.address().String(), port)
	}
	return addr
}

// lost says that a machine's EPHEMERAL is gone. An etcd all of whose data is gone is gone too.
func (c *Clusters) lost(m *world.Machine) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var dead []string
	for _, own := range c.all {
		kept := own.etcds[:0]
		for _, e := range own.etcds {
			if e.lose(m) {
				if !e.copied {
					dead = append(dead, e.kube)
				}
				continue
			}
			kept = append(kept, e)
		}
		own.etcds = kept
	}
	return dead
}

// lose marks members on m, and says whether no data is left.
func (e *etcd) lose(m *world.Machine) bool {
	left := false
	for _, x := range e.members {
		if x.machine == m && x.node == nil {
			x.lost = true
		}
		left = left || !x.lost
	}
	return !left
}

// bootstrap makes a new etcd with n as its only member. kube is the state it begins with.
func (c *Clusters) bootstrap(n *node, kube string) (*etcd, *member) {
	c.mu.Lock()
	defer c.mu.Unlock()
	own := c.of(n)
	e := &etcd{id: rand.Uint64(), ca: etcdCA(n.config()), term: 2, index: 8, kube: kube}
	if e.kube == "" {
		e.kube = n.config().K8sClusterConfig().ClusterName() + "/" + hex.EncodeToString(be(e.id))
	}
	m := &member{id: rand.Uint64(), name: n.hostname(), urls: n.peerAddresses(), machine: n.machine}
	e.members = []*member{m}
	e.leader = m.id
	own.etcds = append(own.etcds, e)
	return e, m
}

// addLearner makes n a learner of an etcd of its cluster that can take one now, nil if none can. An older member
// of the same name is removed first, as Talos does. etcd takes one learner at a time, and none while a voter is off.
func (c *Clusters) addLearner(n *node) (*etcd, *member) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.of(n).etcds {
		if e.ca != etcdCA(n.config()) || !e.quorum() {
			continue
		}
		for _, m := range e.members {
			if m.name == n.hostname() && !m.up() && e.removal(m.id) == nil {
				e.remove(m.id)
				break
			}
		}
		if up, all := e.voters(); up < all || e.hasLearner() {
			continue
		}
		m := &member{id: rand.Uint64(), urls: n.peerAddresses(), machine: n.machine, learner: true}
		e.members = append(e.members, m)
		e.index++
		return e, m
	}
	return nil, nil
}

// find gives the member whose data a node holds; nil if it was removed meanwhile.
func (c *Clusters) find(n *node, etcdID, memberID uint64) (*etcd, *member) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.of(n).etcds {
		if e.id != etcdID {
			continue
		}
		for _, m := range e.members {
			if m.id == memberID {
				return e, m
			}
		}
	}
	return nil, nil
}

// any gives an etcd of n's cluster that answers, n's own or another's: a client asks any control plane.
func (c *Clusters) any(n *node) *etcd {
	c.mu.Lock()
	defer c.mu.Unlock()
	var answering []*etcd
	for _, e := range c.of(n).etcds {
		for _, m := range e.members {
			if m.up() && !m.learner {
				answering = append(answering, e)
			}
		}
	}
	if len(answering) == 0 {
		return nil
	}
	return answering[rand.N(len(answering))]
}

// with runs f while nobody changes any etcd.
func (c *Clusters) with(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

// hasQuorum says whether an etcd can write.
func (c *Clusters) hasQuorum(e *etcd) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return e != nil && e.quorum()
}

func (e *etcd) hasLearner() bool {
	for _, m := range e.members {
		if m.learner {
			return true
		}
	}
	return false
}

// voters counts those that are up, and all.
func (e *etcd) voters() (up, all int) {
	for _, m := range e.members {
		if m.learner {
			continue
		}
		all++
		if m.up() {
			up++
		}
	}
	return up, all
}

// quorum says whether a majority of the voters is up, and elects a leader among them when it changes.
func (e *etcd) quorum() bool {
	up, all := e.voters()
	if up*2 <= all {
		e.leader = 0
		return false
	}
	for _, m := range e.members {
		if m.id == e.leader && m.up() {
			return true
		}
	}
	for _, m := range e.members {
		if m.up() && !m.learner {
			e.leader = m.id
			e.term++
			return true
		}
	}
	return false
}

func (e *etcd) remove(id uint64) {
	for i, m := range e.members {
		if m.id == id {
			e.members = append(e.members[:i:i], e.members[i+1:]...)
			e.index++
			return
		}
	}
}

func (e *etcd) member(id uint64) *member {
	for _, m := range e.members {
		if m.id == id {
			return m
		}
	}
	return nil
}

func be(v uint64) []byte {
	b := make([]byte, 8)
	for i := range b {
		b[i] = byte(v >> (56 - 8*i))
	}
	return b
}
