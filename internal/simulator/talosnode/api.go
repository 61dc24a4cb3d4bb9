package talosnode

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/talos-manager/talos-manager/internal/simulator/talosnode/apid"
)

// leastGrace is what calls in flight get, on the wall, however fast the world is: their answers are on the way.
const leastGrace = 500 * time.Millisecond

// api is the life of port 50000. It serves in maintenance without certificates, then with those of the cluster;
// the change is a restart of the server, which a client's open stream delays.
type api struct {
	node   *node
	server *server

	mu      sync.Mutex
	front   *apid.Server
	changed chan struct{} // closed when the node's mode changes
	serving bool
	closed  bool
	down    chan struct{} // closed when the node goes down: streams end
}

func newAPI(n *node) *api {
	return &api{node: n, changed: make(chan struct{}), down: make(chan struct{})}
}

// wake says that the node's mode changed.
func (a *api) wake() {
	a.mu.Lock()
	defer a.mu.Unlock()
	close(a.changed)
	a.changed = make(chan struct{})
}

func (a *api) listening() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.serving
}

// mode is what port 50000 should be.
type serveMode int

const (
	closed serveMode = iota
	maintenance
	clustered // with the cluster's certificates
)

// mode of the present. A worker needs a control plane that issues its certificate.
func (a *api) mode() serveMode {
	n := a.node
	n.mu.Lock()
	maintained := n.maintained
	n.mu.Unlock()
	if maintained {
		return maintenance
	}
	select {
	case <-n.complete:
	default:
		return closed
	}
	ca := n.config().Machine().Security().IssuingCA()
	if ca != nil && len(ca.Key) > 0 || n.env.Clusters.issuer(n) != nil {
		return clustered
	}
	return closed
}

// until waits for something to serve.
func (a *api) until(ctx context.Context) bool {
	for a.mode() == closed {
		if !a.node.sleep(ctx, retryTime) {
			return false
		}
	}
	return true
}

// run serves until ctx ends, in whichever mode the node is.
func (a *api) run(ctx context.Context) {
	for a.until(ctx) && !a.gone() {
		if err := a.serve(ctx, a.mode()); err != nil {
			a.node.log("apid", "%v", err)
		}
		if !a.node.sleep(ctx, apiStartTime) {
			return
		}
	}
}

// serve serves in one mode until it is another one.
func (a *api) serve(ctx context.Context, mode serveMode) error {
	front, err := a.open(mode)
	if err != nil {
		return err
	}
	l, err := a.listen()
	if err != nil {
		return err
	}
	if a.mark(front); a.gone() {
		return l.Close()
	}
	ended := make(chan struct{})
	a.node.spawn(func() { defer close(ended); _ = front.Serve(l) })
	a.whileIn(ctx, mode, ended)
	a.mark(nil)
	l.Close() // nobody gets in any more
	grace := time.Duration(0)
	if ctx.Err() == nil { // those who hold a stream delay the next mode
		grace = max(a.node.w.Real(apiGraceTime), leastGrace)
	}
	front.Stop(grace)
	<-ended
	return nil
}

// whileIn waits until the mode is another one, the server has ended, or ctx has.
func (a *api) whileIn(ctx context.Context, mode serveMode, ended <-chan struct{}) {
	for {
		a.mu.Lock()
		changed := a.changed
		a.mu.Unlock()
		if a.mode() != mode {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-ended:
			return
		case <-changed:
		}
	}
}

func (a *api) mark(front *apid.Server) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.front, a.serving = front, front != nil
}

// open makes the server for a mode.
func (a *api) open(mode serveMode) (*apid.Server, error) {
	n := a.node
	o := apid.Options{Register: a.register, Local: n.local, Dial: n.dial, Real: n.w.Real}
	if mode == clustered {
		o.Certificate, o.ClientCAs, o.RemoteTLS, o.Forwards = a.certificate(), n.machineCAs, n.remoteTLS, n.controlPlane()
		return apid.New(o), nil
	}
	certificate, err := n.maintenanceCertificate()
	if err != nil {
		return nil, err
	}
	o.Maintenance, o.Old = true, minor(n.info.Version) < 13
	o.Certificate = func() (*tls.Certificate, error) { return certificate, nil }
	return apid.New(o), nil
}

// certificate gives the server certificate, made anew when the names it must be good for change.
func (a *api) certificate() func() (*tls.Certificate, error) {
	var mu sync.Mutex
	var last []string
	var made *tls.Certificate
	return func() (*tls.Certificate, error) {
		mu.Lock()
		defer mu.Unlock()
		names, ips := a.node.names()
		for _, ip := range ips {
			names = append(names, ip.String())
		}
		if made != nil && slices.Equal(names, last) {
			return made, nil
		}
		pair, err := a.node.apiCertificate()
		if err != nil {
			return nil, err
		}
		made, last = pair.Certificate, names
		return made, nil
	}
}

func (a *api) register(r grpc.ServiceRegistrar) { a.server.register(r) }

// gone says whether the API was taken away for this boot.
func (a *api) gone() bool {
	select {
	case <-a.down:
		return true
	default:
		return false
	}
}

// cut takes the API away: streams end with EOF, everything else with its connection.
func (a *api) cut() {
	a.mu.Lock()
	if !a.closed {
		a.closed = true
		close(a.down)
	}
	front := a.front
	a.front, a.serving = nil, false
	a.mu.Unlock()
	if front != nil {
		if a.node.ctx.Err() == nil {
			front.Stop(leastGrace)
			return
		}
		front.Stop(0)
	}
}

// local says whether a target means this node.
func (n *node) local(target string) bool {
	ip, err := netip.ParseAddr(target)
	return err == nil && slices.Contains(n.addresses(), ip)
}

// listen opens port 50000 on every address of the machine.
func (a *api) listen() (net.Listener, error) { return a.node.listenAll(apid.Port) }

func (n *node) listenAll(port string) (net.Listener, error) {
	all := &listeners{conns: make(chan net.Conn), done: make(chan struct{})}
	for _, addr := range n.machine.Addresses() {
		l, err := n.w.Net.Listen(net.JoinHostPort(addr.String(), port))
		if err != nil {
			all.Close()
			return nil, err
		}
		all.list = append(all.list, l)
	}
	for _, l := range all.list {
		n.spawn(func() { all.accept(l) })
	}
	return all, nil
}

// listeners are several listeners as one.
type listeners struct {
	list  []net.Listener
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (l *listeners) accept(one net.Listener) {
	for {
		c, err := one.Accept()
		if err != nil {
			return
		}
		select {
		case l.conns <- c:
		case <-l.done:
			c.Close()
			return
		}
	}
}

// Accept implements net.Listener.
func (l *listeners) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *listeners) Close() error {
	l.once.Do(func() {
		close(l.done)
		for _, one := range l.list {
			one.Close()
		}
	})
	return nil
}

// Addr implements net.Listener.
func (l *listeners) Addr() net.Addr {
	if len(l.list) == 0 {
		return &net.TCPAddr{}
	}
	return l.list[0].Addr()
}
