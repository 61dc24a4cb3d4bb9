package world

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
)

// Network joins everything in the world without sockets. Addresses are "203.0.113.10:22" for machines and
// "robot.sim:80" for services. An address nobody listens on refuses when its machine has power and times out
// (with the dialer's context) when it has not.
type Network struct {
	expose, unprivileged bool

	mu        sync.Mutex
	listeners map[string]*listener
	alive     map[netip.Addr]int // addresses of machines whose system has its network up
	real      map[string]string  // exposed: name -> real address
}

func newNetwork(expose, unprivileged bool) *Network {
	return &Network{
		expose: expose, unprivileged: unprivileged,
		listeners: map[string]*listener{}, alive: map[netip.Addr]int{}, real: map[string]string{},
	}
}

// Up marks addresses as answering: a closed port refuses instead of timing out. Down undoes it.
func (n *Network) Up(addrs ...netip.Addr)   { n.mark(1, addrs) }
func (n *Network) Down(addrs ...netip.Addr) { n.mark(-1, addrs) }

func (n *Network) mark(by int, addrs []netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, a := range addrs {
		n.alive[a] += by
	}
}

// forget takes addresses out of the world.
func (n *Network) forget(addrs []netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, a := range addrs {
		delete(n.alive, a)
	}
}

// Listen opens an address. Exposed worlds also open a real socket: at the address itself if it is a loopback
// address, else (a service's name) at a free port of 127.0.0.1, which RealAddr tells.
func (n *Network) Listen(addr string) (net.Listener, error) {
	l := &listener{net: n, addr: addr, conns: make(chan net.Conn), done: make(chan struct{})}
	n.mu.Lock()
	if n.listeners[addr] != nil {
		n.mu.Unlock()
		return nil, &net.OpError{Op: "listen", Net: "tcp", Err: syscall.EADDRINUSE}
	}
	n.listeners[addr] = l
	n.mu.Unlock()
	if n.expose {
		if err := l.openReal(); err != nil {
			l.Close()
			return nil, err
		}
	}
	return l, nil
}

// RealAddr gives the real address of an exposed listener, "" if there is none.
func (n *Network) RealAddr(addr string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.real[addr]
}

// Dialer dials from a source address, which the other side sees. An invalid source is somebody outside.
func (n *Network) Dialer(from netip.Addr) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, _, addr string) (net.Conn, error) { return n.dial(ctx, from, addr) }
}

// DialContext dials from outside.
func (n *Network) DialContext(ctx context.Context, _, addr string) (net.Conn, error) {
	return n.dial(ctx, netip.Addr{}, addr)
}

// Knows says whether addr belongs to this world: a service listens on it, or it is a machine's address.
func (n *Network) Knows(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners[addr] != nil || strings.HasSuffix(host, ".sim") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	_, known := n.alive[ip]
	return err == nil && known
}

func (n *Network) dial(ctx context.Context, from netip.Addr, addr string) (net.Conn, error) {
	n.mu.Lock()
	l, up := n.listeners[addr], n.up(addr)
	n.mu.Unlock()
	if l == nil {
		if !up {
			<-ctx.Done()
			return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: simAddr(addr), Err: fmt.Errorf("i/o timeout: %w", context.Cause(ctx))}
		}
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: simAddr(addr), Err: syscall.ECONNREFUSED}
	}
	here, there := pipe(source(from), tcpAddr(addr))
	select {
	case l.conns <- there:
		return here, nil
	case <-l.done:
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: simAddr(addr), Err: syscall.ECONNREFUSED}
	case <-ctx.Done():
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: simAddr(addr), Err: context.Cause(ctx)}
	}
}

// up says whether a closed port of addr refuses at once. Names of services always do.
func (n *Network) up(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err != nil || n.alive[ip] > 0
}

func (n *Network) close() {
	n.mu.Lock()
	all := make([]*listener, 0, len(n.listeners))
	for _, l := range n.listeners {
		all = append(all, l)
	}
	n.mu.Unlock()
	for _, l := range all {
		l.Close()
	}
}

type listener struct {
	net   *Network
	addr  string
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
	sock  net.Listener
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() {
		close(l.done)
		l.net.mu.Lock()
		if l.net.listeners[l.addr] == l {
			delete(l.net.listeners, l.addr)
		}
		l.net.mu.Unlock()
		if l.sock != nil {
			l.sock.Close()
		}
	})
	return nil
}

func (l *listener) Addr() net.Addr { return tcpAddr(l.addr) }

// openReal opens a socket whose connections arrive at the same Accept.
func (l *listener) openReal() error {
	at := "127.0.0.1:0"
	if ap, err := netip.ParseAddrPort(l.addr); err == nil {
		if !ap.Addr().IsLoopback() || ap.Addr().Is6() {
			return nil // only IPv4 loopback addresses can be had without configuring the host
		}
		if ap.Port() == 22 && l.net.unprivileged {
			ap = netip.AddrPortFrom(ap.Addr(), 2222)
		}
		at = ap.String()
	}
	sock, err := net.Listen("tcp", at)
	if err != nil {
		return err
	}
	l.sock = sock
	l.net.mu.Lock()
	l.net.real[l.addr] = sock.Addr().String()
	l.net.mu.Unlock()
	go func() {
		for {
			c, err := sock.Accept()
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
	}()
	return nil
}

type simAddr string

func (simAddr) Network() string  { return "tcp" }
func (a simAddr) String() string { return string(a) }

// tcpAddr is a *net.TCPAddr where addr is numeric, so that code which looks at addresses works.
func tcpAddr(addr string) net.Addr {
	if ap, err := netip.ParseAddrPort(addr); err == nil {
		return net.TCPAddrFromAddrPort(ap)
	}
	return simAddr(addr)
}

func source(from netip.Addr) net.Addr {
	if !from.IsValid() {
		from = netip.MustParseAddr("192.0.2.1")
	}
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 40000))
}
