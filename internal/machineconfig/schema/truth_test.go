package schema_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/configloader"
	"github.com/siderolabs/talos/pkg/machinery/config/configpatcher"
	"github.com/siderolabs/talos/pkg/machinery/config/encoder"
	"github.com/siderolabs/talos/pkg/machinery/config/generate"
	"github.com/siderolabs/talos/pkg/machinery/config/generate/secrets"
	"github.com/siderolabs/talos/pkg/machinery/config/machine"
	"go.yaml.in/yaml/v4"

	"github.com/talos-manager/talos-manager/internal/machineconfig/schema"
)

// generated gives what Talos' own generator makes for a version, with all its comments and examples.
func generated(t testing.TB, bundle *secrets.Bundle, version string, role machine.Type) []byte {
	t.Helper()
	contract, err := config.ParseContractFromVersion(version)
	if err != nil {
		t.Fatal(err)
	}
	input, err := generate.NewInput("test", "https://192.0.2.1:6443", "1.31.0",
		generate.WithVersionContract(contract), generate.WithSecretsBundle(bundle), generate.WithInstallDisk("/dev/sda"))
	if err != nil {
		t.Fatal(err)
	}
	provider, err := input.Config(role)
	if err != nil {
		t.Fatal(err)
	}
	text, err := provider.EncodeBytes(encoder.WithComments(encoder.CommentsAll))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestWhatTalosGeneratesHasNoFindings(t *testing.T) {
	bundle, err := secrets.NewBundle(secrets.NewClock(), config.TalosVersionCurrent)
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range schema.Versions() {
		for _, role := range []machine.Type{machine.TypeControlPlane, machine.TypeWorker} {
			t.Run(version+" "+role.String(), func(t *testing.T) {
				t.Parallel()
				for _, f := range schema.Lint(generated(t, bundle, version+".0", role), version) {
					t.Error(f)
				}
			})
		}
	}
}

// library gives the directory of the machinery module.
func library(t testing.TB) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/siderolabs/talos/pkg/machinery").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// texts gives the configs and patches of the library's own test data, and the examples of this package.
func texts(t testing.TB) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	for _, dir := range []string{filepath.Join(library(t), "config"), "testdata/reference"} {
		err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.Contains(name, "testdata") || !strings.Contains(".yaml.yml.json.test", filepath.Ext(name)) || filepath.Ext(name) == "" {
				return err
			}
			all[strings.TrimPrefix(name, dir)], err = os.ReadFile(name)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(all) < 200 {
		t.Fatalf("%d texts", len(all))
	}
	return all
}

// refused asks the library whether it can read a patch. Its decoder is that of a node of the newest version.
func refused(text []byte) error {
	_, err := configpatcher.LoadPatch(text)
	return err
}

func TestWhatTheLibraryReadsHasNoErrors(t *testing.T) {
	read := 0
	for name, text := range texts(t) {
		if _, err := configloader.NewFromBytes(text, configloader.WithAllowPatchDelete(), configloader.WithNoValidation()); err != nil {
			continue
		}
		read++
		for _, f := range schema.Lint(text, "v1.14") {
			if f.Severity == schema.Error && f.Problem != schema.Conflict {
				t.Errorf("%s: %v", name, f)
			}
		}
	}
	if read < 150 {
		t.Errorf("the library read %d texts only", read)
	}
}

// Each text is changed at random in one place, and the lint must call it wrong exactly when the library cannot read it.
func TestTheLintAgreesWithTheLibraryAboutDamagedTexts(t *testing.T) {
	random := rand.New(rand.NewSource(1))
	wrong, fine := 0, 0
	for name, text := range sorted(texts(t)) {
		if len(text) > 20_000 || bytes.Contains(text, []byte("${")) || refused(text) != nil {
			continue
		}
		for range rounds() {
			damaged, ok := damage(random, text)
			if !ok {
				break
			}
			err := refused(damaged)
			if err != nil {
				wrong++
			} else {
				fine++
			}
			if diff := disagreement(damaged, err); diff != "" {
				t.Errorf("%s: %s\n%s", name, diff, damaged)
			}
		}
	}
	if wrong < 100 || fine < 100 {
		t.Errorf("%d damaged texts that cannot be read and %d that can: too few", wrong, fine)
	}
}

func rounds() int {
	n, _ := strconv.Atoi(os.Getenv("ROUNDS"))
	return max(n, 5)
}

func disagreement(text []byte, library error) string {
	var all, decoding []schema.Finding
	for _, f := range schema.Lint(text, "v1.14") {
		if f.Severity != schema.Error || f.Problem == schema.Conflict {
			continue
		}
		all = append(all, f)
		if !validated(f) {
			decoding = append(decoding, f)
		}
	}
	switch {
	case library == nil && len(decoding) > 0 && !applied(text):
		return fmt.Sprintf("the library reads what the lint refuses: %v", decoding[0])
	case library != nil && len(all) == 0:
		return fmt.Sprintf("the lint has nothing against what the library cannot read: %v", library)
	}
	return ""
}

// validated says whether a finding is about what Talos refuses after decoding.
func validated(f schema.Finding) bool {
	return f.Problem == schema.BadPatch && !strings.Contains(f.Message, "knows no") && !strings.Contains(f.Message, "is a map") ||
		f.Message == "the document is empty" || // which a patch may be, but a config may not
		f.Problem == schema.WrongValue && f.Kind == schema.V1Alpha1 &&
			(f.Path == "machine.type" || strings.HasSuffix(f.Path, ".format") || f.Path == "cluster.network.cni.name")
}

// applied says whether the library may find faults of a text only when it applies it.
func applied(text []byte) bool {
	var n yaml.Node
	return bytes.Contains(text, []byte("$patch")) || yaml.Unmarshal(text, &n) != nil || len(n.Content) == 0 || n.Content[0].Kind != yaml.MappingNode
}

// damage replaces, renames, removes or repeats one node of a text.
func damage(random *rand.Rand, text []byte) ([]byte, bool) {
	var docs []*yaml.Node
	var places []*yaml.Node
	for d := yaml.NewDecoder(bytes.NewReader(text)); ; {
		n := new(yaml.Node)
		if d.Decode(n) != nil {
			break
		}
		docs = append(docs, n)
		places = append(places, below(n)...)
	}
	if len(places) == 0 {
		return nil, false
	}
	n := places[random.Intn(len(places))]
	other := places[random.Intn(len(places))]
	switch random.Intn(9) {
	case 0:
		*n = yaml.Node{Kind: yaml.ScalarNode, Value: []string{"x", "12", "-1", "true", "70000", "1.5", "10s", "10.0.0.0/8", "2020-01-01", "no", "''"}[random.Intn(11)]}
	case 1:
		*n = yaml.Node{Kind: yaml.MappingNode}
	case 2:
		*n = yaml.Node{Kind: yaml.SequenceNode}
	case 3:
		*n = yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}
	case 4:
		*n = yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{{Kind: yaml.ScalarNode, Value: "x"}}}
	case 5:
		*n = yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{{Kind: yaml.ScalarNode, Value: "x"}, {Kind: yaml.ScalarNode, Value: "y"}}}
	case 6:
		n.Value, n.Tag = n.Value+"x", ""
	case 7:
		n.Content = append(n.Content, n.Content...)
	default:
		n.Value, n.Tag = other.Value, ""
	}
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	for _, doc := range docs {
		if e.Encode(doc) != nil {
			return nil, false
		}
	}
	return b.Bytes(), e.Close() == nil
}

func below(n *yaml.Node) []*yaml.Node {
	var out []*yaml.Node
	for _, c := range n.Content {
		out = append(append(out, c), below(c)...)
	}
	return out
}
