package recipe

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/configloader"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig"
)

// releases has one of every Talos minor that this program supports, with a Kubernetes version it takes.
var releases = []struct{ talos, kubernetes string }{
	{"v1.6.8", "v1.29.0"},
	{"v1.7.7", "v1.30.0"},
	{"v1.8.4", "v1.31.0"},
	{"v1.9.6", "v1.32.0"},
	{"v1.10.9", "v1.33.0"},
	{"v1.11.6", "v1.34.1"},
	{"v1.12.4", "v1.35.0"},
	{"v1.13.9", "v1.36.3"},
	{"v1.14.1", "v1.36.3"},
}

var roles = []fleet.Role{fleet.ControlPlane, fleet.Worker}

// bundle is that of the oldest version, which needs no RSA key, for all.
var bundle = sync.OnceValues(func() ([]byte, error) { return machineconfig.NewSecrets("v1.6.8", time.Unix(1_700_000_000, 0)) })

func input(t *testing.T, talos string, role fleet.Role, patches ...machineconfig.Patch) machineconfig.Input {
	t.Helper()
	secrets, err := bundle()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range releases {
		if r.talos != talos {
			continue
		}
		return machineconfig.Input{
			Server: "worker-1", ClusterName: "prod", Endpoint: "https://203.0.113.10:6443", Secrets: secrets,
			TalosVersion: talos, KubernetesVersion: r.kubernetes, Role: role,
			InstallImage: "factory.talos.dev/metal-installer/abc:" + talos, InstallDisk: "eui.002538b321c5527c",
			Patches: patches,
			Variables: machineconfig.Variables{
				"hostname": "worker-1", "private_ip": "10.0.1.1", "public_ip": "203.0.113.7", "public_ipv6": "2001:db8:1:2::2",
				"gateway": "203.0.113.1", "mac": "0c:9d:92:11:22:33", "vlan": "4000", "bootstrap_disk_wwid": "eui.002538b321c5527c",
			},
		}
	}
	t.Fatalf("no release %s", talos)
	return machineconfig.Input{}
}

// rendered is a machine config as Talos sees it.
type rendered struct {
	config.Provider
	text string
}

func render(t *testing.T, talos string, role fleet.Role, patches ...machineconfig.Patch) (rendered, error) {
	t.Helper()
	out, err := machineconfig.Render(input(t, talos, role, patches...))
	if err != nil {
		return rendered{}, fmt.Errorf("%w (%s)", err, fleet.HintOf(err))
	}
	p, err := configloader.NewFromBytes(out)
	if err != nil {
		t.Fatalf("Talos cannot load what was rendered: %v\n%s", err, out)
	}
	return rendered{p, string(out)}, nil
}

// of are the patches of a result which are for a role.
func of(role fleet.Role, results ...Result) []machineconfig.Patch {
	var out []machineconfig.Patch
	for _, r := range results {
		for _, p := range r.Patches {
			if p.Role == "" || p.Role == role {
				out = append(out, machineconfig.Patch{Name: p.Name, Text: p.Text})
			}
		}
	}
	return out
}

func mustApply(t *testing.T, name, talos string, params Params) Result {
	t.Helper()
	r, err := Get(name)
	if err != nil {
		t.Fatal(err)
	}
	result, err := r.Apply(talos, params)
	if err != nil {
		t.Fatalf("%s on %s: %v (%s)", name, talos, err, fleet.HintOf(err))
	}
	return result
}

// minor is that of a release.
func minor(t *testing.T, talos string) int {
	t.Helper()
	m, err := minorOf(talos)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// example gives the recipe's example for a version, without what that version does not know.
func example(t *testing.T, r Recipe, talos string) Params {
	t.Helper()
	params := Params{}
	for _, p := range r.Parameters {
		if v, ok := r.Example[p.Name]; ok && p.has(minor(t, talos)) {
			params[p.Name] = v
		}
	}
	if r.Name == "custom-ca" {
		params["certificates"] = certificate()
	}
	return params
}

func indent(text string) string { return "\t" + strings.ReplaceAll(text, "\n", "\n\t") }

// certificate is one of an authority, as PEM.
var certificate = sync.OnceValue(func() string {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	about := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Example CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Unix(1_700_000_000, 0), NotAfter: time.Unix(2_000_000_000, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, about, about, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
})
