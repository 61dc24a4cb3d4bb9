// Package apid is the front of a simulated Talos node: gRPC over TLS 1.3 on port 50000, who may call what, and
// the forwarding of calls to other nodes. It knows no method's meaning: the node's services are registered on an
// inner server, as Talos' machined stands behind its apid, and calls reach them as raw bytes.
//
//	client --TLS--> roles of the certificate --> director --> this node's services (rights are checked here)
//	                                                    \--> another node's apid, as os:impersonator
//
// It refuses what a real node refuses: callers without a certificate of the machine CA, methods a role has no
// right to, forwarding by a worker. It keeps no state besides its connections.
package apid

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"time"

	"google.golang.org/grpc"
)

// Port is the port of every node's API.
const Port = "50000"

// Options of one API server. Functions are asked again for every handshake or call, so that certificates,
// CAs and addresses may change while it serves.
type Options struct {
	// Register adds the node's services. They find the caller's roles with Roles.
	Register func(grpc.ServiceRegistrar)

	// Maintenance serves without client certificates: everybody may read and apply a configuration, and calls
	// are never forwarded.
	Maintenance bool

	// Old is a Talos before 1.13: its maintenance mode tells by resources alone what it is.
	Old bool

	// Certificate is the server's certificate.
	Certificate func() (*tls.Certificate, error)

	// ClientCAs sign client certificates. Not asked in maintenance.
	ClientCAs func() *x509.CertPool

	// Forwards says that calls go on to other nodes; a worker (false) only answers for itself.
	Forwards bool

	// Local says whether a target of the metadata keys node and nodes means this node. 127.0.0.1 and ::1
	// always do.
	Local func(target string) bool

	// Dial opens a connection to another node's port 50000.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	// RemoteTLS is what this node shows and trusts when it calls another node: a client certificate with the
	// role os:impersonator, and the machine CAs as roots.
	RemoteTLS func() (*tls.Config, error)

	// Real turns the back-off times of a real node (1 to 15 s between two attempts to reach a node that is gone)
	// into those of the clock on the wall; nil leaves them.
	Real func(time.Duration) time.Duration
}

func (o Options) real(d time.Duration) time.Duration {
	if o.Real == nil {
		return d
	}
	return o.Real(d)
}

func (o Options) local(target string) bool {
	// Not the whole of 127.0.0.0/8: in an exposed world the machines' own addresses are loopback addresses.
	if target == "127.0.0.1" || target == "::1" {
		return true
	}
	return o.Local != nil && o.Local(target)
}
