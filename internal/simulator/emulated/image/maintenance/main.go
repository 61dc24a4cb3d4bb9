// Package main is what a test image's init becomes when the kernel command line names no config: Talos' maintenance mode. It
// shows what the machine is and takes one machine config, over the official API with a certificate of its own making, and says
// on the serial line what it got (package console). It refuses to do anything with the config.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"math/big"
	"net"
	"os"
	"time"

	talosx509 "github.com/siderolabs/crypto/x509"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/configloader"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/talos-manager/talos-manager/internal/simulator/emulated/image/console"
	"github.com/talos-manager/talos-manager/internal/simulator/talosnode/apid"
	"github.com/talos-manager/talos-manager/internal/simulator/talosnode/resources"
)

func main() {
	serial, err := os.OpenFile("/dev/ttyS0", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		serial = os.Stderr
	}
	say := func(e console.Event) { _, _ = serial.WriteString(e.String()) } // there is nobody to tell
	if err := serve(say); err != nil {
		say(console.Event{Name: console.Failed, Text: err.Error()})
	}
	for { // a kernel whose init ends panics
		time.Sleep(time.Hour)
	}
}

// serve answers the API for good: everybody's until a config comes, then only those whom the config's cluster knows.
func serve(say func(console.Event)) error {
	v, err := look()
	if err != nil {
		return err
	}
	store, err := resources.New(apid.Roles)
	if err != nil {
		return err
	}
	if err := store.Apply(context.Background(), v); err != nil {
		return err
	}
	own, err := certificate()
	if err != nil {
		return err
	}
	configs := make(chan config.Provider, 1)
	register := func(r grpc.ServiceRegistrar) {
		store.Register(r)
		machine.RegisterMachineServiceServer(r, &service{say: say, version: v.Version, configs: configs})
	}
	open := apid.New(apid.Options{Maintenance: true, Certificate: func() (*tls.Certificate, error) { return own, nil }, Register: register})
	l, err := net.Listen("tcp", ":"+apid.Port)
	if err != nil {
		return err
	}
	shown, err := talosx509.SPKIFingerprintFromDER(own.Certificate[0])
	if err != nil {
		return err
	}
	say(console.Event{Name: console.Maintenance, Text: shown.String()})
	ended := make(chan error, 1)
	go func() { ended <- open.Serve(l) }()
	c := <-configs
	open.Stop(10 * time.Second) // the answer is on its way
	if err := <-ended; err != nil {
		return err
	}
	return serveCluster(c, register)
}

// serveCluster answers with the certificates of the config's cluster. A worker has no key to make one with: other nodes of
// its cluster would give it one, and nothing answers until then.
func serveCluster(c config.Provider, register func(grpc.ServiceRegistrar)) error {
	ca := c.Machine().Security().IssuingCA()
	if ca == nil || len(ca.Key) == 0 {
		return nil
	}
	authority, err := talosx509.NewCertificateAuthorityFromCertificateAndKey(ca)
	if err != nil {
		return err
	}
	names, ips, err := sans(c)
	if err != nil {
		return err
	}
	pair, err := talosx509.NewKeyPair(authority, talosx509.CommonName("talos"), talosx509.DNSNames(names), talosx509.IPAddresses(ips),
		talosx509.NotBefore(time.Now().Add(-time.Hour)), talosx509.NotAfter(time.Now().Add(24*time.Hour)),
		talosx509.KeyUsage(x509.KeyUsageDigitalSignature), talosx509.ExtKeyUsage([]x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}))
	if err != nil {
		return err
	}
	clients := x509.NewCertPool()
	clients.AppendCertsFromPEM(ca.Crt)
	s := apid.New(apid.Options{
		Certificate: func() (*tls.Certificate, error) { return pair.Certificate, nil }, ClientCAs: func() *x509.CertPool { return clients }, Register: register,
	})
	l, err := net.Listen("tcp", ":"+apid.Port)
	if err != nil {
		return err
	}
	return s.Serve(l)
}

// sans are what the certificate is good for: the machine's addresses, and what the config adds.
func sans(c config.Provider) (names []string, ips []net.IP, err error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil, nil, err
	}
	for _, a := range all {
		if p, ok := a.(*net.IPNet); ok {
			ips = append(ips, p.IP)
		}
	}
	names = []string{"talos"}
	for _, san := range c.Machine().Security().CertSANs() {
		if ip := net.ParseIP(san); ip != nil {
			ips = append(ips, ip)
		} else {
			names = append(names, san)
		}
	}
	return names, ips, nil
}

// certificate is new with every boot, and signed by nobody else.
func certificate() (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), DNSNames: []string{"maintenance-service.talos.dev"},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// service answers the two calls that hand a machine its config; all others it does not know.
type service struct {
	machine.UnimplementedMachineServiceServer
	say     func(console.Event)
	version string
	configs chan<- config.Provider // takes one
}

// Version implements machine.MachineServiceServer.
func (s *service) Version(context.Context, *emptypb.Empty) (*machine.VersionResponse, error) {
	return &machine.VersionResponse{Messages: []*machine.Version{{
		Version: &machine.VersionInfo{Tag: s.version, Os: "linux", Arch: "amd64"}, Platform: &machine.PlatformInfo{Name: "metal", Mode: "metal"},
	}}}, nil
}

// ApplyConfiguration implements machine.MachineServiceServer.
func (s *service) ApplyConfiguration(_ context.Context, in *machine.ApplyConfigurationRequest) (*machine.ApplyConfigurationResponse, error) {
	c, err := configloader.NewFromBytes(in.GetData())
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	if !c.CompleteForBoot() {
		return nil, status.Error(codes.InvalidArgument, "this machine waits for a whole config")
	}
	answer := &machine.ApplyConfiguration{Mode: machine.ApplyConfigurationRequest_NO_REBOOT, ModeDetails: "Applied configuration without a reboot"}
	if in.GetDryRun() {
		answer.ModeDetails = "Dry run summary:\nnothing was changed"
		return &machine.ApplyConfigurationResponse{Messages: []*machine.ApplyConfiguration{answer}}, nil
	}
	select {
	case s.configs <- c:
	default:
		return nil, status.Error(codes.FailedPrecondition, "this machine has a config already")
	}
	sum := sha256.Sum256(in.GetData())
	s.say(console.Event{Name: console.Applied, Bytes: len(in.GetData()), SHA256: hex.EncodeToString(sum[:]), Text: string(in.GetData()[:min(len(in.GetData()), 160)])})
	return &machine.ApplyConfigurationResponse{Messages: []*machine.ApplyConfiguration{answer}}, nil
}
