// Package talos speaks with Talos nodes over their gRPC API, in maintenance mode too, with Siderolabs' own
// client. One Node is one connection to one machine; nothing is proxied through another node, so that an answer
// is certainly from the machine it was asked of. The package makes calls and reports; it decides nothing, waits
// for nothing, and never bootstraps or applies unless told.
package talos

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync/atomic"

	"github.com/siderolabs/crypto/x509"
	"github.com/siderolabs/talos/pkg/machinery/client"
	clientconfig "github.com/siderolabs/talos/pkg/machinery/client/config"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Dialer opens connections to nodes; nil is the system's network.
type Dialer func(ctx context.Context, network, addr string) (net.Conn, error)

// Node is a connection to one machine that runs Talos. Close it.
type Node struct {
	Address  string // as it was opened, without port
	c        *client.Client
	stranger atomic.Bool // another certificate than the pinned one was presented
}

// Open connects to a configured node with the cluster's credentials. Nothing is sent before the first call.
func Open(ctx context.Context, talosconfig []byte, address string, dial Dialer) (*Node, error) {
	config, err := clientconfig.FromBytes(talosconfig)
	if err != nil {
		return nil, fmt.Errorf("talosconfig: %w", err)
	}
	c, err := client.New(ctx, append(dialOptions(dial), client.WithConfig(config), client.WithEndpoints(address))...)
	if err != nil {
		return nil, fmt.Errorf("node %s: %w", address, err)
	}
	return &Node{Address: address, c: c}, nil
}

// OpenMaintenance connects to a node that has no config yet. Its certificate is signed by nobody: pin is its
// fingerprint as Fingerprint gave it, or "" to take whatever answers (only to look, never to hand it a config).
// Calls to a machine that presents another one are fleet.Refused.
func OpenMaintenance(ctx context.Context, address, pin string, dial Dialer) (*Node, error) {
	n := &Node{Address: address}
	config := &tls.Config{InsecureSkipVerify: true} //nolint:gosec // a maintenance certificate is self-signed; the pin below is the check
	if pin != "" {
		config.VerifyConnection = func(s tls.ConnectionState) error {
			if got := fingerprint(s); got != pin {
				n.stranger.Store(true)
				return fmt.Errorf("its certificate is %s, pinned was %s: another machine answers there", got, pin)
			}
			return nil
		}
	}
	var err error
	if n.c, err = client.New(ctx, append(dialOptions(dial), client.WithTLSConfig(config), client.WithEndpoints(address))...); err != nil {
		return nil, fmt.Errorf("node %s: %w", address, err)
	}
	return n, nil
}

// Fingerprint reads that of the certificate that the node presents now, as its screen shows it in maintenance mode and
// talosctl --cert-fingerprint takes it (SHA-256 of the public key, in base64), and whether it wants a
// client certificate, which is to say that it has left maintenance mode.
func Fingerprint(ctx context.Context, address string, dial Dialer) (pin string, configured bool, err error) {
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	raw, err := dial(ctx, "tcp", net.JoinHostPort(address, "50000"))
	if err != nil {
		return "", false, unreachable(address, err)
	}
	defer raw.Close()
	config := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}, //nolint:gosec // only looks
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			configured = true
			return &tls.Certificate{}, nil
		}}
	conn := tls.Client(raw, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		return "", configured, unreachable(address, err)
	}
	return fingerprint(conn.ConnectionState()), configured, nil
}

func fingerprint(s tls.ConnectionState) string {
	if len(s.PeerCertificates) == 0 {
		return ""
	}
	return x509.SPKIFingerprint(s.PeerCertificates[0]).String()
}

func dialOptions(dial Dialer) []client.OptionFunc {
	if dial == nil {
		return nil
	}
	return []client.OptionFunc{client.WithGRPCDialOptions(grpc.WithContextDialer(
		func(ctx context.Context, addr string) (net.Conn, error) { return dial(ctx, "tcp", addr) }))}
}

// Close ends the connection.
func (n *Node) Close() error { return n.c.Close() }

// fail names the call and the node, and gives the error a kind.
func (n *Node) fail(what string, err error) error {
	if err == nil {
		return nil
	}
	if n.stranger.Load() {
		return fleet.Errorf(fleet.Refused, "%s of node %s: %w", what, n.Address, err).
			WithHint("its certificate is new with every boot: look at its fingerprint once more, and compare it with the one on its screen")
	}
	kind := fleet.Unavailable
	switch status.Code(unwrap(err)) {
	case codes.PermissionDenied, codes.Unauthenticated:
		kind = fleet.Forbidden
	case codes.InvalidArgument, codes.FailedPrecondition:
		kind = fleet.Invalid
	case codes.AlreadyExists:
		kind = fleet.Conflict
	case codes.NotFound:
		kind = fleet.NotFound
	case codes.Unimplemented:
		kind = fleet.Refused
	}
	return fleet.Errorf(kind, "%s of node %s: %w", what, n.Address, err)
}

func unwrap(err error) error {
	for {
		if _, ok := status.FromError(err); ok {
			return err
		}
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

func unreachable(address string, err error) error {
	return fleet.Errorf(fleet.Unavailable, "node %s: %w", address, err)
}

// Kubeconfig fetches an admin kubeconfig of the node's cluster; control planes only. It works before etcd does.
func (n *Node) Kubeconfig(ctx context.Context) ([]byte, error) {
	out, err := n.c.Kubeconfig(ctx)
	return out, n.fail("kubeconfig", err)
}
