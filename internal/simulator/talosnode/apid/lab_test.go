package apid_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/talos-manager/talos-manager/internal/simulator/talosnode/apid"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

// authority is a machine CA.
type authority struct {
	t           *testing.T
	certificate *x509.Certificate
	key         ed25519.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{Organization: []string{"talos"}}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{t, certificate, key}
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.certificate)
	return p
}

// issue makes a certificate for an address and roles that ends after life.
func (a *authority) issue(address string, life time.Duration, roles ...string) *tls.Certificate {
	a.t.Helper()
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{Organization: roles},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(life),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.ParseIP("127.0.0.1")},
	}
	if ip := net.ParseIP(address); ip != nil {
		template.IPAddresses = append(template.IPAddresses, ip)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, public, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// serve starts a node's API at an address of the world.
func serve(t *testing.T, w *world.World, ca *authority, address string, o apid.Options) {
	t.Helper()
	server := ca.issue(address, time.Hour)
	mine := ca.issue(address, time.Hour, "os:impersonator")
	o.Certificate = func() (*tls.Certificate, error) { return server, nil }
	o.ClientCAs = ca.pool
	o.RemoteTLS = func() (*tls.Config, error) {
		return &tls.Config{Certificates: []tls.Certificate{*mine}, RootCAs: ca.pool()}, nil
	}
	o.Local = func(target string) bool { return target == address }
	o.Dial = dialer(w)
	l, err := w.Net.Listen(net.JoinHostPort(address, apid.Port))
	if err != nil {
		t.Fatal(err)
	}
	s, done := apid.New(o), make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop(0)
		if err := <-done; err != nil {
			t.Errorf("serve %s: %v", address, err)
		}
	})
}

// dialer reaches the world; 10.5.0.99 is nobody on the same network.
func dialer(w *world.World) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if strings.HasPrefix(addr, "10.5.0.99:") {
			where := net.TCPAddr{IP: net.ParseIP("10.5.0.99"), Port: 50000}
			return nil, &net.OpError{Op: "dial", Net: network, Addr: &where, Err: os.NewSyscallError("connect", syscall.EHOSTUNREACH)}
		}
		return w.Net.DialContext(ctx, network, addr)
	}
}

// connect dials a node, with a client certificate or none.
func connect(t *testing.T, w *world.World, ca *authority, address string, certificate *tls.Certificate) *grpc.ClientConn {
	t.Helper()
	config := &tls.Config{RootCAs: ca.pool()}
	if certificate != nil {
		// whatever the server asks for: a client that only shows what the server's CAs signed would hide it
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate, nil }
	}
	conn, err := grpc.NewClient("passthrough:///"+net.JoinHostPort(address, apid.Port),
		grpc.WithContextDialer(func(ctx context.Context, a string) (net.Conn, error) { return w.Net.DialContext(ctx, "tcp", a) }),
		grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// call makes any call by its name with a protojson request, and reads at most three messages, of a watch one.
func call(ctx context.Context, t *testing.T, conn *grpc.ClientConn, method, request string) ([]proto.Message, error) {
	t.Helper()
	in, out := proto.Message(&emptypb.Empty{}), proto.Message(&emptypb.Empty{})
	service, name, _ := strings.Cut(method, "/")
	if d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service)); err == nil {
		m := d.(protoreflect.ServiceDescriptor).Methods().ByName(protoreflect.Name(name))
		in, out = message(t, m.Input()), message(t, m.Output())
	}
	if request != "" {
		if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal([]byte(request), in); err != nil {
			t.Fatalf("%s: %v", method, err)
		}
	}
	ctx, stop := context.WithTimeout(ctx, 5*time.Second)
	defer stop()
	s, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/"+method)
	if err != nil {
		return nil, err
	}
	if err := s.SendMsg(in); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if err := s.CloseSend(); err != nil {
		return nil, err
	}
	var all []proto.Message
	for len(all) < 3 && !(len(all) == 1 && name == "Watch") {
		m := proto.Clone(out)
		err := s.RecvMsg(m)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, m)
	}
	return all, nil
}

func message(t *testing.T, d protoreflect.MessageDescriptor) proto.Message {
	t.Helper()
	m, err := protoregistry.GlobalTypes.FindMessageByName(d.FullName())
	if err != nil {
		t.Fatal(err)
	}
	return m.New().Interface()
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}
