package diff

import (
	"slices"
	"strings"

	"github.com/blang/semver/v4"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Effect is when a change takes effect on a node that runs.
type Effect string

// The effects, the least first.
const (
	Immediate   Effect = "immediate"    // as soon as it is applied
	Restart     Effect = "restart"      // as soon as services have restarted, which Talos sees to
	AtInstall   Effect = "install"      // when what it describes is made: Talos is installed or upgraded, a volume is created
	NewObjects  Effect = "new-objects"  // for Kubernetes objects that do not exist; others stay as they are
	AfterReboot Effect = "after-reboot" // after the next reboot; the node takes it, but does not reboot by itself
	Reboot      Effect = "reboot"       // with a reboot, by the node itself in mode auto; it refuses it in mode no-reboot
)

var effects = []Effect{Immediate, Restart, AtInstall, NewObjects, AfterReboot, Reboot}

// Outcome is what a node does with one change.
type Outcome struct {
	Document string   `json:"document"` // Title of the document
	Path     string   `json:"path,omitempty"`
	Effect   Effect   `json:"effect"`
	Services []string `json:"services,omitempty"` // those that restart
	Why      string   `json:"why,omitempty"`
}

// Verdict is what a node does with a whole diff.
type Verdict struct {
	TalosVersion string `json:"talosVersion"`

	// Effect is the strongest of the outcomes.
	Effect Effect `json:"effect"`

	// Reboots says that the node reboots when the change is applied in mode auto, and refuses it in mode no-reboot.
	Reboots bool `json:"reboots"`

	// Pending says that the node takes the change without a reboot, but does not do all of it before the next one.
	Pending bool `json:"pending"`

	// Refused says why the node would not take the new config at all, whatever the mode.
	Refused string `json:"refused,omitempty"`

	Services []string  `json:"services,omitempty"` // those that restart
	Outcomes []Outcome `json:"outcomes"`           // of each change, in the order of the diff, then of differences in form
}

// Apply says what a node that runs a Talos version does with a change of its config. It follows the check of that
// version (see tables.go) and what its controllers do with each field. An unknown version is a fleet.Invalid.
func Apply(d *Diff, talosVersion string) (*Verdict, error) {
	minor, err := minorOf(talosVersion)
	if err != nil {
		return nil, err
	}
	v := &Verdict{TalosVersion: talosVersion, Effect: Immediate, Outcomes: []Outcome{}}
	if d.Incomplete {
		v.Refused = "the new config has no v1alpha1 document (the one with machine: and cluster:)"
	}
	units := slices.Clone(d.V1Alpha1)
	for _, doc := range d.Documents {
		for _, c := range doc.Changes {
			o := outcome(d, &doc, c, minor)
			v.add(o)
			if doc.Kind == v1alpha1Kind {
				units = slices.DeleteFunc(units, func(u string) bool { return u == unitOf(c.Field) })
			}
		}
		if len(doc.Changes) == 0 {
			v.add(outcome(d, &doc, Change{}, minor))
		}
	}
	for _, unit := range units {
		if !immediate(unit, minor) {
			v.add(Outcome{
				Document: (&Document{Kind: v1alpha1Kind}).Title(), Path: unit, Effect: Reboot,
				Why: "it differs in form only (an order, or an empty value for none), which Talos before v1.14 takes for a change",
			})
		}
	}
	return v, nil
}

func (v *Verdict) add(o Outcome) {
	v.Outcomes = append(v.Outcomes, o)
	if slices.Index(effects, o.Effect) > slices.Index(effects, v.Effect) {
		v.Effect = o.Effect
	}
	v.Reboots = v.Reboots || o.Effect == Reboot
	v.Pending = v.Pending || o.Effect == AfterReboot
	if v.Reboots {
		v.Pending = false // the reboot does it
	}
	for _, s := range o.Services {
		if !slices.Contains(v.Services, s) {
			v.Services = append(v.Services, s)
		}
	}
}

// minorOf gives 13 of v1.13.9, v1.13 and 1.13.0-alpha.1.
func minorOf(version string) (int, error) {
	v, err := semver.ParseTolerant(version)
	if err != nil || v.Major != 1 {
		return 0, fleet.Errorf(fleet.Invalid, "Talos version %q: not one of Talos 1", version).WithHint("write it as v1.14.1")
	}
	if v.Minor < firstMinor {
		return 0, fleet.Errorf(fleet.Invalid, "Talos version %q: what it does with a change is known from v1.%d on", version, firstMinor)
	}
	return int(v.Minor), nil
}

// outcome looks up what a node does with one change.
func outcome(d *Diff, doc *Document, c Change, minor int) Outcome {
	o := Outcome{Document: doc.Title(), Path: c.Path, Effect: Immediate}
	rule, found := ruleFor(doc.Kind, c.Field, c.Op, minor)
	if found {
		o.Effect, o.Services, o.Why = rule.effect, rule.services, rule.why
		if rule.controlPlane && d.MachineType == "worker" {
			o.Effect, o.Services, o.Why = Immediate, nil, "a worker does not use it"
		}
		if doc.Kind == "ExtensionServiceConfig" {
			o.Services = []string{"ext-" + doc.Name}
		}
	}
	if doc.Kind == v1alpha1Kind && doc.Op == Changed && !(immediate(unitOf(c.Field), minor) && !d.wholeDiffers(unitOf(c.Field), minor)) {
		o.Effect, o.Services, o.Why = Reboot, nil, "Talos "+oneDot(minor)+" applies it with a reboot only"
	}
	return o
}

// wholeDiffers says whether what holds a unit came or went as a whole, so that exceptions within do not count.
func (d *Diff) wholeDiffers(unit string, minor int) bool {
	return slices.ContainsFunc(d.V1Alpha1, func(u string) bool {
		return u != unit && strings.HasPrefix(unit, u+".") && !immediate(u, minor)
	})
}

// ruleFor finds the rule of the longest field that holds this one.
func ruleFor(kind, field string, op Op, minor int) (best rule, found bool) {
	for _, r := range rules {
		if r.kind != kind || minor < r.since || r.until != 0 && minor > r.until || r.op != "" && r.op != op || !holds(r.field, field) {
			continue
		}
		if !found || len(r.field) > len(best.field) || len(r.field) == len(best.field) && r.op != "" {
			best, found = r, true
		}
	}
	return best, found
}

func holds(whole, part string) bool {
	return whole == "" || part == whole || strings.HasPrefix(part, whole+".") || strings.HasPrefix(part, whole+"[")
}
