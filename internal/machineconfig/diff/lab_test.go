package diff_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/configloader"
	"github.com/siderolabs/talos/pkg/machinery/config/configpatcher"
	"github.com/siderolabs/talos/pkg/machinery/config/encoder"
	"github.com/siderolabs/talos/pkg/machinery/config/generate"
	"github.com/siderolabs/talos/pkg/machinery/config/generate/secrets"
	"github.com/siderolabs/talos/pkg/machinery/config/machine"
	"go.yaml.in/yaml/v4"

	"github.com/talos-manager/talos-manager/internal/machineconfig/diff"
)

// versions are the minors that Talos Manager supports, with a Kubernetes version of each.
var versions = []struct{ talos, kubernetes string }{
	{"v1.6.8", "1.29.0"},
	{"v1.7.7", "1.30.0"},
	{"v1.8.4", "1.31.0"},
	{"v1.9.6", "1.32.0"},
	{"v1.10.9", "1.33.0"},
	{"v1.11.6", "1.34.1"},
	{"v1.12.11", "1.35.0"},
	{"v1.13.9", "1.36.0"},
	{"v1.14.1", "1.36.0"},
}

// bundle makes one secrets bundle for all tests, which takes a second.
var bundle = sync.OnceValues(func() (*secrets.Bundle, error) {
	contract, err := config.ParseContractFromVersion("v1.14.1")
	if err != nil {
		return nil, err
	}
	return secrets.NewBundle(secrets.NewFixedClock(time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)), contract)
})

func secretsOf(t testing.TB) *secrets.Bundle {
	t.Helper()
	b, err := bundle()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// generated is the config that `talosctl gen config` writes for a version.
func generated(t testing.TB, talos, kubernetes string, of machine.Type) config.Provider {
	t.Helper()
	contract, err := config.ParseContractFromVersion(talos)
	if err != nil {
		t.Fatal(err)
	}
	in, err := generate.NewInput("prod", "https://203.0.113.10:6443", kubernetes, generate.WithVersionContract(contract),
		generate.WithSecretsBundle(secretsOf(t)), generate.WithInstallDisk("/dev/sda"), generate.WithInstallImage("factory.talos.dev/metal-installer/376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba:"+talos))
	if err != nil {
		t.Fatal(err)
	}
	p, err := in.Config(of)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func encode(t testing.TB, p config.Provider, comments encoder.CommentsFlags) []byte {
	t.Helper()
	out, err := p.EncodeBytes(encoder.WithComments(comments))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// controlPlane is the plain text of a control plane's config.
func controlPlane(t testing.TB, talos string) []byte {
	t.Helper()
	for _, v := range versions {
		if v.talos == talos {
			return encode(t, generated(t, v.talos, v.kubernetes, machine.TypeControlPlane), encoder.CommentsDisabled)
		}
	}
	t.Fatalf("no version %s", talos)
	return nil
}

// patched applies a strategic merge patch with the library.
func patched(t testing.TB, text []byte, patch string) []byte {
	t.Helper()
	p, err := configpatcher.LoadPatch([]byte(patch))
	if err != nil {
		t.Fatal(err)
	}
	out, err := configpatcher.Apply(configpatcher.WithBytes(text), []configpatcher.Patch{p})
	if err != nil {
		t.Fatal(err)
	}
	b, err := out.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func compare(t testing.TB, a, b string) *diff.Diff {
	t.Helper()
	d, err := diff.Compare([]byte(a), []byte(b), nil)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// reload writes a config anew as the library of today reads it.
func reload(t testing.TB, text []byte) []byte {
	t.Helper()
	p, err := configloader.NewFromBytes(text)
	if err != nil {
		t.Fatal(err)
	}
	return encode(t, p.Clone(), encoder.CommentsDisabled)
}

// shuffled turns documents and the keys of every map around.
func shuffled(t testing.TB, text []byte) []byte {
	t.Helper()
	docs := strings.Split(string(text), "\n---\n")
	var out []string
	for i := len(docs) - 1; i >= 0; i-- {
		var node yaml.Node
		if err := yaml.Unmarshal([]byte(docs[i]), &node); err != nil {
			t.Fatal(err)
		}
		turn(&node)
		b, err := yaml.Marshal(&node)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(b))
	}
	return []byte(strings.Join(out, "---\n"))
}

func turn(n *yaml.Node) {
	for _, c := range n.Content {
		turn(c)
	}
	if n.Kind != yaml.MappingNode {
		return
	}
	for i, j := 0, len(n.Content)-2; i < j; i, j = i+2, j-2 {
		n.Content[i], n.Content[j] = n.Content[j], n.Content[i]
		n.Content[i+1], n.Content[j+1] = n.Content[j+1], n.Content[i+1]
	}
}
