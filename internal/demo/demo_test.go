package demo

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientconfig "github.com/siderolabs/talos/pkg/machinery/client/config"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

var quiet = slog.New(slog.DiscardHandler)

func TestOneCommandMakesAHealthyClusterAndItsFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "demo")
	var out bytes.Buffer
	err := Run(t.Context(), Options{Once: true, Dir: dir, Speed: 60 / slower, Listen: "127.0.0.1:0", Out: &out, Log: quiet})
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, want := range []string{"all 5 nodes are Ready", "control-plane-1", "etcd bootstrapped, once", "env.sh"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not shown:\n%s", want, out.String())
		}
	}
	if _, err := clientconfig.Open(filepath.Join(dir, "talosconfig")); err != nil {
		t.Errorf("talosctl cannot read its file: %v", err)
	}
	if _, err := clientcmd.LoadFromFile(filepath.Join(dir, "kubeconfig")); err != nil {
		t.Errorf("kubectl cannot read its file: %v", err)
	}
	env, err := os.ReadFile(filepath.Join(dir, "env.sh"))
	if err != nil || !strings.Contains(string(env), "TALOS_MANAGER_TOKEN='tm_") {
		t.Errorf("env.sh: %s, %v", env, err)
	}
}

func TestTheDemoSurvivesInjectedFaults(t *testing.T) {
	var out bytes.Buffer
	err := Run(t.Context(), Options{Once: true, Dir: filepath.Join(t.TempDir(), "demo"), Speed: 60 / slower, Faults: 7, Listen: "127.0.0.1:0", Out: &out, Log: quiet})
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
}

func TestADemoThatCannotBecomeHealthyFails(t *testing.T) {
	err := Run(t.Context(), Options{Once: true, Dir: filepath.Join(t.TempDir(), "demo"), Speed: 20, Within: time.Second, Listen: "127.0.0.1:0", Log: quiet})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestADemoTakesNoFolderThatIsNotItsOwn(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "thesis.txt"), []byte("years of work"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := Run(t.Context(), Options{Once: true, Dir: dir, Listen: "127.0.0.1:0", Log: quiet})
	if fleet.KindOf(err) != fleet.Refused {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "thesis.txt")); err != nil {
		t.Error(err)
	}
}
