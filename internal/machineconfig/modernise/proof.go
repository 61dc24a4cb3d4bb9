package modernise

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/configpatcher"
	"github.com/siderolabs/talos/pkg/machinery/config/generate"
	"github.com/siderolabs/talos/pkg/machinery/config/generate/secrets"
	"github.com/siderolabs/talos/pkg/machinery/config/machine"
	"github.com/siderolabs/talos/pkg/machinery/config/validation"
	"github.com/siderolabs/talos/pkg/machinery/constants"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig/schema"
)

// Verdict is what the proof found.
type Verdict string

const (
	// Equal: on this version a node does the same with the old patch and the new one.
	Equal Verdict = "equal"
	// EqualElsewhere: this version refuses the old patch. What it does on Proof.Against, the nearest version that takes it
	// (an older one where there is one), the new one does here.
	EqualElsewhere Verdict = "equal-on-another"
	// Differs: see Proof.Differences.
	Differs Verdict = "differs"
	// Unproven: no version takes the old patch, so there is nothing to compare with. See Proof.Problem.
	Unproven Verdict = "unproven"
	// Refused: the library refuses the new patch. See Proof.Problem.
	Refused Verdict = "refused"
)

// Proof compares what nodes make of the old and of the new patch, through the interfaces by which Talos itself reads
// a config, for a control plane and a worker.
type Proof struct {
	Verdict     Verdict
	Against     string       // v1.11: the version on which the old patch was applied; "" when it is the version itself
	Roles       []fleet.Role // those compared; nodes of another role refuse the old patch on every version
	Differences []Difference
	Problem     string
}

// String is the verdict for people: equal, equal-on-1.11, differs, unproven, refused.
func (p Proof) String() string {
	if p.Verdict == EqualElsewhere {
		return "equal-on-" + strings.TrimPrefix(p.Against, "v")
	}
	return string(p.Verdict)
}

// Difference is one thing that a node does otherwise. Secrets are left out of the values.
type Difference struct {
	Role     fleet.Role
	Path     string // in the words of the library: K8sKubeletConfig.ExtraMounts
	Old, New string // "" where there is none
	Why      string // where it is known
}

func minorOf(version string) (int, error) {
	c, err := config.ParseContractFromVersion(version)
	if err != nil {
		return 0, fleet.Errorf(fleet.Invalid, "Talos version %q", version).WithHint("write it as v1.14.1")
	}
	newest := newestMinor()
	if c.Major != 1 || c.Minor < oldestSupported || c.Minor > newest {
		return 0, fleet.Errorf(fleet.Invalid, "Talos version %q is not supported", version).
			WithHint("v1.%d to v1.%d are", oldestSupported, newest)
	}
	return c.Minor, nil
}

// bundle holds throw-away secrets; the older contract keeps them small and quick to make.
var bundle = sync.OnceValues(func() (*secrets.Bundle, error) {
	return secrets.NewBundle(secrets.NewFixedClock(time.Unix(1_700_000_000, 0)), config.TalosVersion1_6)
})

// generated makes the config that a patch is applied to.
func generated(minor int, role fleet.Role, kubernetes string) (config.Provider, error) {
	b, err := bundle()
	if err != nil {
		return nil, err
	}
	input, err := generate.NewInput("modernise", "https://10.0.0.10:6443", strings.TrimPrefix(kubernetes, "v"),
		generate.WithVersionContract(&config.VersionContract{Major: 1, Minor: minor}),
		generate.WithSecretsBundle(b),
		generate.WithInstallImage("factory.talos.dev/metal-installer/376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba:v1.14.1"),
		generate.WithInstallDisk("/dev/sda"),
	)
	if err != nil {
		return nil, err
	}
	if role == fleet.ControlPlane {
		return input.Config(machine.TypeControlPlane)
	}
	return input.Config(machine.TypeWorker)
}

// metal is the validation mode of a machine with disks.
type metal struct{}

func (metal) String() string        { return "metal" }
func (metal) RequiresInstall() bool { return true }
func (metal) InContainer() bool     { return false }

// applied applies patches to a config and checks it as a node of that minor would.
func applied(base config.Provider, minor int, strict bool, texts ...string) (config.Provider, error) {
	for _, text := range texts {
		if blank(text) {
			continue
		}
		patch, err := configpatcher.LoadPatch([]byte(text))
		if err != nil {
			return nil, err
		}
		out, err := configpatcher.Apply(configpatcher.WithConfig(base), []configpatcher.Patch{patch})
		if err != nil {
			return nil, err
		}
		if base, err = out.Config(); err != nil {
			return nil, err
		}
	}
	if !base.CompleteForBoot() {
		return nil, fmt.Errorf("the config is no longer complete")
	}
	options := []validation.Option{validation.WithLocal()}
	if strict {
		options = append(options, validation.WithStrict())
	}
	_, err := base.ValidateAsClient(metal{}, options...)
	if text := complaints(err, minor); text != "" {
		return nil, fmt.Errorf("%s", text)
	}
	return base, nil
}

// complaints makes one line of the library's list. It knows the newest Talos only, so what an older one does not call
// deprecated is left out.
func complaints(err error, minor int) string {
	if err == nil {
		return ""
	}
	var parts []string
	for line := range strings.Lines(err.Error()) {
		line = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "* "))
		newer := minor < kubernetesDocs && (strings.Contains(line, ".machine.files is deprecated") || strings.Contains(line, ".machine.baseRuntimeSpecOverrides is deprecated"))
		if line == "" || strings.HasSuffix(line, "occurred:") || newer {
			continue
		}
		parts = append(parts, line)
	}
	return strings.Join(parts, "; ")
}

// prover compares an old and a new patch.
type prover struct {
	minor      int
	o          Options
	old        string
	res        *Result
	kubernetes string
	views      viewer
}

func prove(old string, res *Result, minor int, o Options) Proof {
	kubernetes := o.KubernetesVersion
	if kubernetes == "" {
		kubernetes = "v" + constants.DefaultKubernetesVersion
	}
	vars := samples(old, o.Variables, kubernetes)
	p := &prover{minor: minor, o: o, old: fill(old, vars), kubernetes: kubernetes}
	filled := *res
	filled.Text, filled.ControlPlane = fill(res.Text, vars), fill(res.ControlPlane, vars)
	p.res = &filled
	roles := []fleet.Role{fleet.ControlPlane, fleet.Worker}
	if o.Role != "" {
		roles = []fleet.Role{o.Role}
	}
	out := Proof{Verdict: Unproven}
	for _, role := range roles {
		one := p.role(role)
		out = worse(out, one)
		if out.Verdict == Refused {
			return out
		}
	}
	return out
}

// worse joins the proofs of two roles. What could be compared for one role counts.
func worse(a, b Proof) Proof {
	if a.Verdict == Unproven {
		return b
	}
	if b.Verdict == Unproven {
		return a
	}
	rank := []Verdict{Equal, EqualElsewhere, Differs, Refused}
	out := a
	if slices.Index(rank, b.Verdict) > slices.Index(rank, a.Verdict) {
		out = b
	}
	out.Against = a.Against
	if one, other := minorIn(a.Against), minorIn(b.Against); one == 0 || other != 0 && other < one {
		out.Against = b.Against
	}
	out.Roles = append(slices.Clone(a.Roles), b.Roles...)
	out.Differences = append(slices.Clone(a.Differences), b.Differences...)
	return out
}

// minorIn reads v1.11; 0 for "".
func minorIn(version string) int {
	n, err := strconv.Atoi(strings.TrimPrefix(version, "v1."))
	if err != nil {
		return 0
	}
	return n
}

func (p *prover) role(role fleet.Role) Proof {
	base, err := generated(p.minor, role, p.kubernetes)
	if err != nil {
		return Proof{Verdict: Unproven, Problem: err.Error()}
	}
	texts := []string{p.res.Text}
	if role == fleet.ControlPlane {
		texts = append(texts, p.res.ControlPlane)
	}
	oldBase, before, against, strict, oldErr := p.findOld(role)
	if oldErr != nil {
		return Proof{Verdict: Unproven, Problem: oldErr.Error()}
	}
	after, err := applied(base, p.minor, strict, texts...)
	if unknown := unknownTo(texts[0], p.minor); err == nil && unknown != nil {
		err = unknown
	}
	if err != nil {
		return Proof{Verdict: Refused, Problem: err.Error(), Roles: []fleet.Role{role}}
	}
	if !p.res.Changed && against == p.minor { // it is the same text
		return Proof{Verdict: Equal, Roles: []fleet.Role{role}}
	}
	return p.compare(role, against, oldBase, before, base, after)
}

// findOld applies the old patch on the nearest version that takes it, older ones first: strictly if one does.
func (p *prover) findOld(role fleet.Role) (base, before config.Provider, minor int, strict bool, first error) {
	var minors []int
	for m := p.minor; m >= oldestSupported; m-- {
		minors = append(minors, m)
	}
	for m := p.minor + 1; m <= newestMinor(); m++ {
		minors = append(minors, m)
	}
	for _, strict := range []bool{true, false} {
		for _, minor := range minors {
			base, before, err := p.onMinor(role, minor, strict)
			if err == nil {
				return base, before, minor, strict, nil
			}
			if first == nil {
				first = err
			}
		}
	}
	return nil, nil, 0, false, first
}

func (p *prover) onMinor(role fleet.Role, minor int, strict bool) (base, before config.Provider, err error) {
	if err := unknownTo(p.old, minor); err != nil {
		return nil, nil, err
	}
	if base, err = generated(minor, role, p.kubernetes); err != nil {
		return nil, nil, err
	}
	before, err = applied(base, minor, strict, p.old)
	return base, before, err
}

// unknownTo is what a node says to documents and fields that are newer than it. The library takes them.
func unknownTo(text string, minor int) error {
	for _, f := range schema.Lint([]byte(text), version(minor)) {
		if f.Problem == schema.TooNew {
			return fmt.Errorf("line %d: %s", f.Line, f.Message)
		}
	}
	return nil
}

func (p *prover) compare(role fleet.Role, against int, oldBase, before, base, after config.Provider) Proof {
	was, is := viewer{role, against}, viewer{role, p.minor}
	oldFrom, oldTo := was.view(oldBase), was.view(before)
	newFrom, newTo := is.view(base), is.view(after)
	moved(newTo, p.res.Schematic)
	out := Proof{Verdict: Equal, Roles: []fleet.Role{role}}
	if against != p.minor {
		out.Verdict, out.Against = EqualElsewhere, version(against)
	}
	out.Differences = differences(effect(oldFrom, oldTo), effect(newFrom, newTo), oldTo, newTo)
	for i := range out.Differences {
		out.Differences[i].Role = role
	}
	if len(out.Differences) > 0 {
		out.Verdict = Differs
	}
	return out
}
