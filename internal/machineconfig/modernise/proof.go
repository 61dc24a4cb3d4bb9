package modernise

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/config"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig/schema"
)

// Verdict is what the proof found.
type Verdict string

const (
	// Equal: on this version a node does the same with the old patch and the new one.
	Equal Verdict = "equal"
	// EqualOlder: this version refuses the old patch. What it does on Proof.Against, the nearest version that takes it
	// (an older one where there is one), the new one does here.
	EqualOlder Verdict = "equal-on-older"
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
	Verdict     Verdict      `json:"verdict"`
	Against     string       `json:"against,omitempty"` // v1.11: the version on which the old patch was applied; "" when it is the version itself
	Roles       []fleet.Role `json:"roles"`             // those compared; nodes of another role refuse the old patch on every version
	Differences []Difference `json:"differences,omitempty"`
	Problem     string       `json:"problem,omitempty"`
}

// String is the verdict for people: equal, equal-on-1.11, differs, unproven, refused.
func (p Proof) String() string {
	if p.Verdict == EqualOlder {
		return "equal-on-" + strings.TrimPrefix(p.Against, "v")
	}
	return string(p.Verdict)
}

// Difference is one thing that a node does otherwise. Secrets are left out of the values.
type Difference struct {
	Role fleet.Role `json:"role"`
	Path string     `json:"path,omitempty"` // in the words of the library: K8sKubeletConfig.ExtraMounts
	Old  string     `json:"old,omitempty"`  // "" where there is none
	New  string     `json:"new,omitempty"`
	Why  string     `json:"why,omitempty"` // where it is known
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

// complaints makes one line of the library's list. What is only deprecated is no complaint: a node takes it, and the
// library does not know when it was not deprecated yet.
func complaints(err error) string {
	if err == nil {
		return ""
	}
	var parts []string
	for line := range strings.Lines(err.Error()) {
		line = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "* "))
		if line == "" || strings.HasSuffix(line, "occurred:") || strings.Contains(line, "is deprecated") {
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
}

func prove(old string, res *Result, minor int, o Options) Proof {
	kubernetes := o.KubernetesVersion
	if kubernetes == "" {
		kubernetes = kubernetesVersion
	}
	vars, open := samples(old, o.Variables, kubernetes)
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
		if out = worse(out, p.role(role)); out.Verdict == Refused {
			break
		}
	}
	if out.Problem != "" && len(open) > 0 {
		for i, name := range open {
			open[i] = name + "=" + vars[name]
		}
		out.Problem += " (tried with " + strings.Join(open, ", ") + ")"
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
	rank := []Verdict{Equal, EqualOlder, Differs, Refused}
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
	base, err := baseOf(p.minor, role, p.kubernetes)
	if err != nil {
		return Proof{Verdict: Unproven, Problem: err.Error()}
	}
	texts := []string{p.res.Text}
	if role == fleet.ControlPlane {
		texts = append(texts, p.res.ControlPlane)
	}
	on, before, strict, oldErr := p.findOld(role)
	if oldErr != nil {
		return Proof{Verdict: Unproven, Problem: oldErr.Error()}
	}
	after, err := base.patched(strict, texts...)
	if unknown := unknownTo(texts[0], p.minor); err == nil && unknown != nil {
		err = unknown
	}
	if err != nil {
		return Proof{Verdict: Refused, Problem: err.Error(), Roles: []fleet.Role{role}}
	}
	if !p.res.Changed && on.minor == p.minor { // it is the same text
		return Proof{Verdict: Equal, Roles: []fleet.Role{role}}
	}
	return p.compare(on, before, base, after)
}

// findOld applies the old patch on the nearest version that takes it, older ones first: strictly if one does.
func (p *prover) findOld(role fleet.Role) (on *base, before config.Provider, strict bool, first error) {
	var minors []int
	for m := p.minor; m >= oldestSupported; m-- {
		minors = append(minors, m)
	}
	for m := p.minor + 1; m <= newestMinor(); m++ {
		minors = append(minors, m)
	}
	for _, strict := range []bool{true, false} {
		for _, minor := range minors {
			on, before, err := p.onMinor(role, minor, strict)
			if err == nil {
				return on, before, strict, nil
			}
			if first == nil {
				first = err
			}
		}
	}
	return nil, nil, false, first
}

func (p *prover) onMinor(role fleet.Role, minor int, strict bool) (on *base, before config.Provider, err error) {
	if err := unknownTo(p.old, minor); err != nil {
		return nil, nil, err
	}
	if on, err = baseOf(minor, role, p.kubernetes); err != nil {
		return nil, nil, err
	}
	before, err = on.patched(strict, p.old)
	return on, before, err
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

func (p *prover) compare(on *base, before config.Provider, now *base, after config.Provider) Proof {
	role := now.role
	oldTo, newTo := viewer{role, on.minor}.view(before), viewer{role, now.minor}.view(after)
	moved(newTo, p.res.Schematic)
	out := Proof{Verdict: Equal, Roles: []fleet.Role{role}}
	if on.minor != now.minor {
		out.Verdict, out.Against = EqualOlder, version(on.minor)
	}
	out.Differences = differences(effect(on.view, oldTo), effect(now.view, newTo), oldTo, newTo)
	out.Differences = slices.DeleteFunc(out.Differences, func(d Difference) bool {
		return p.o.Installed && strings.HasPrefix(d.Path, "Install.")
	})
	for i := range out.Differences {
		out.Differences[i].Role = role
	}
	if len(out.Differences) > 0 {
		out.Verdict = Differs
	}
	return out
}
