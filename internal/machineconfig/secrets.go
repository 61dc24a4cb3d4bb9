package machineconfig

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/generate"
	"github.com/siderolabs/talos/pkg/machinery/config/generate/secrets"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"go.yaml.in/yaml/v4"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// NewSecrets makes the secrets bundle of a new cluster, as YAML that `talosctl gen secrets` could have written.
func NewSecrets(talosVersion string, now time.Time) ([]byte, error) {
	contract, err := contractOf(talosVersion)
	if err != nil {
		return nil, err
	}
	bundle, err := secrets.NewBundle(secrets.NewFixedClock(now), contract)
	if err != nil {
		return nil, fmt.Errorf("make secrets: %w", err)
	}
	return yaml.Marshal(bundle)
}

// CheckSecrets refuses a bundle that was pasted but is none, or lacks what this Talos version needs.
func CheckSecrets(text []byte, talosVersion string) error {
	contract, err := contractOf(talosVersion)
	if err != nil {
		return err
	}
	bundle, err := loadBundle(text)
	if err != nil {
		return err
	}
	if err := bundle.Validate(contract); err != nil {
		return fleet.Errorf(fleet.Invalid, "secrets bundle: %w", err)
	}
	return nil
}

func parseBundle(text []byte) (*secrets.Bundle, error) {
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, fmt.Errorf("it is empty")
	}
	bundle := &secrets.Bundle{}
	if err := yaml.Unmarshal(text, bundle); err != nil {
		return nil, err
	}
	if bundle.Certs == nil || bundle.Certs.OS == nil || bundle.Certs.K8s == nil || bundle.Certs.Etcd == nil || bundle.Cluster == nil || bundle.Secrets == nil {
		return nil, fmt.Errorf("it lacks certificates or the cluster's id")
	}
	bundle.Clock = secrets.NewClock()
	return bundle, nil
}

// Talosconfig makes the admin client configuration of a cluster, valid for a year, with these endpoints.
func Talosconfig(cluster *fleet.Cluster, endpoints []string) ([]byte, error) {
	contract, err := contractOf(cluster.TalosVersion)
	if err != nil {
		return nil, err
	}
	bundle, err := loadBundle(cluster.Secrets)
	if err != nil {
		return nil, err
	}
	input, err := generate.NewInput(cluster.Name, cluster.Endpoint, "1.30.0", // the Kubernetes version plays no part in a talosconfig
		generate.WithVersionContract(contract), generate.WithSecretsBundle(bundle),
		generate.WithEndpointList(endpoints), generate.WithRoles(role.MakeSet(role.Admin)))
	if err != nil {
		return nil, fmt.Errorf("cluster %s: %w", cluster.Name, err)
	}
	tc, err := input.Talosconfig()
	if err != nil {
		return nil, fmt.Errorf("cluster %s: talosconfig: %w", cluster.Name, err)
	}
	tc.Contexts[tc.Context].Nodes = nil
	return tc.Bytes()
}

func contractOf(version string) (*config.VersionContract, error) {
	contract, err := config.ParseContractFromVersion(version)
	if err != nil {
		return nil, fleet.Errorf(fleet.Invalid, "Talos version %q: %w", version, err).WithHint("write it as v1.14.1")
	}
	return contract, nil
}

// secretsIn lists the secrets of a bundle as they may stand in a config: tokens, and keys as PEM and in base64.
func secretsIn(b *secrets.Bundle) []string {
	out := []string{b.Cluster.Secret, b.Secrets.BootstrapToken, b.Secrets.AESCBCEncryptionSecret, b.Secrets.SecretboxEncryptionSecret}
	if b.TrustdInfo != nil {
		out = append(out, b.TrustdInfo.Token)
	}
	keys := [][]byte{b.Certs.OS.Key, b.Certs.K8s.Key, b.Certs.Etcd.Key}
	if b.Certs.K8sAggregator != nil {
		keys = append(keys, b.Certs.K8sAggregator.Key)
	}
	if b.Certs.K8sServiceAccount != nil {
		keys = append(keys, b.Certs.K8sServiceAccount.Key)
	}
	for _, key := range keys {
		out = append(out, base64.StdEncoding.EncodeToString(key))
		for line := range strings.Lines(string(key)) {
			if line = strings.TrimSpace(line); !strings.HasPrefix(line, "-----") {
				out = append(out, line)
			}
		}
	}
	return slices.DeleteFunc(out, func(s string) bool { return len(s) < 8 })
}
