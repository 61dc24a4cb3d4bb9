package talosnode

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	stdx509 "crypto/x509"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"github.com/siderolabs/crypto/x509"
	"github.com/siderolabs/talos/pkg/machinery/api/common"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	clientconfig "github.com/siderolabs/talos/pkg/machinery/client/config"
	"github.com/siderolabs/talos/pkg/machinery/config/generate/secrets"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
)

// kubeconfigText is what Talos writes (pkg/kubeconfig): cluster, server, CA, user, certificate, key.
const kubeconfigText = `apiVersion: v1
kind: Config
clusters:
- name: %[1]s
  cluster:
    server: %[2]s
    certificate-authority-data: %[3]s
users:
- name: %[4]s@%[1]s
  user:
    client-certificate-data: %[5]s
    client-key-data: %[6]s
contexts:
- context:
    cluster: %[1]s
    namespace: default
    user: %[4]s@%[1]s
  name: %[4]s@%[1]s
current-context: %[4]s@%[1]s
`

// Kubeconfig implements machine.MachineServiceServer: one message, a gzipped tar with one file. It works as soon
// as the API answers.
func (v *server) Kubeconfig(_ *emptypb.Empty, out grpc.ServerStreamingServer[common.Data]) error {
	if !v.node.controlPlane() {
		return onlyControlPlane("kubeconfig")
	}
	text, err := v.node.kubeconfig()
	if err != nil {
		return err
	}
	var buf bytes.Buffer
	zip := gzip.NewWriter(&buf)
	archive := tar.NewWriter(zip)
	header := &tar.Header{Typeflag: tar.TypeReg, Name: "kubeconfig", Size: int64(len(text)), ModTime: time.Now(), Mode: 0o600}
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	if _, err := archive.Write(text); err != nil {
		return err
	}
	if err := archive.Flush(); err != nil { // without the tar's end: a real node leaves it out too
		return err
	}
	if err := zip.Close(); err != nil {
		return err
	}
	return out.Send(&common.Data{Bytes: buf.Bytes()})
}

func (n *node) kubeconfig() ([]byte, error) {
	cfg := n.config()
	ca := cfg.K8sAPIServerCAConfig()
	if ca == nil || ca.IssuingCA() == nil {
		return nil, status.Error(codes.FailedPrecondition, "k8s API server CA config is not set")
	}
	admin := cfg.Cluster().AdminKubeconfig()
	pair, err := issue(ca.IssuingCA(), admin.CertLifetime(), stdx509.KeyUsageDigitalSignature|stdx509.KeyUsageKeyEncipherment,
		[]stdx509.ExtKeyUsage{stdx509.ExtKeyUsageClientAuth}, x509.CommonName(admin.CommonName()), x509.Organization(admin.CertOrganization()))
	if err != nil {
		return nil, err
	}
	var roots [][]byte
	for _, c := range ca.AcceptedCAs() {
		roots = append(roots, c.Crt)
	}
	b64 := base64.StdEncoding.EncodeToString
	k8s := cfg.K8sClusterConfig()
	return fmt.Appendf(nil, kubeconfigText, k8s.ClusterName(), k8s.ClusterEndpoint(), b64(bytes.Join(roots, nil)),
		admin.CommonName(), b64(pair.CrtPEM), b64(pair.KeyPEM)), nil
}

// GenerateClientConfiguration implements machine.MachineServiceServer.
func (v *server) GenerateClientConfiguration(_ context.Context, in *machine.GenerateClientConfigurationRequest) (*machine.GenerateClientConfigurationResponse, error) {
	if !v.node.controlPlane() {
		return nil, onlyControlPlane("generate client configuration")
	}
	ttl := in.GetCrtTtl().AsDuration()
	if ttl <= 0 {
		return nil, status.Error(codes.InvalidArgument, "crt_ttl should be positive")
	}
	roles, _ := role.Parse(in.GetRoles())
	bundle, err := secrets.NewBundleFromConfig(secrets.NewFixedClock(time.Now()), v.node.config())
	if err != nil {
		return nil, fmt.Errorf("error creating secrets bundle from config: %w", err)
	}
	cert, err := bundle.GenerateTalosAPIClientCertificateWithTTL(roles, ttl)
	if err != nil {
		return nil, err
	}
	name := v.node.config().K8sClusterConfig().ClusterName()
	if all := roles.Strings(); len(all) == 1 {
		name = strings.TrimPrefix(all[0], role.Prefix) + "@" + name
	}
	talosconfig, err := clientconfig.NewConfig(name, nil, bundle.Certs.OS.Crt, cert).Bytes()
	if err != nil {
		return nil, err
	}
	return &machine.GenerateClientConfigurationResponse{Messages: []*machine.GenerateClientConfiguration{
		{Ca: bundle.Certs.OS.Crt, Crt: cert.Crt, Key: cert.Key, Talosconfig: talosconfig},
	}}, nil
}
