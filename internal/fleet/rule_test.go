package fleet_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

func TestTaintsAreReadAsPeopleWriteThem(t *testing.T) {
	for _, c := range []struct {
		reason, in string
		want       fleet.Taint
		bad        string // part of the error
	}{
		{"all three parts", "dedicated=db:NoExecute", fleet.Taint{Key: "dedicated", Value: "db", Effect: "NoExecute"}, ""},
		{"without an effect it is NoSchedule", "dedicated=db", fleet.Taint{Key: "dedicated", Value: "db", Effect: "NoSchedule"}, ""},
		{"without a value", "example.com/gpu:PreferNoSchedule", fleet.Taint{Key: "example.com/gpu", Effect: "PreferNoSchedule"}, ""},
		{"an empty value is no value", "gpu=:NoSchedule", fleet.Taint{Key: "gpu", Effect: "NoSchedule"}, ""},
		{"space around is forgiven", "  a=b:NoSchedule\n", fleet.Taint{Key: "a", Value: "b", Effect: "NoSchedule"}, ""},
		{"a key alone says too little", "dedicated", fleet.Taint{}, "neither a value nor an effect"},
		{"nothing", "", fleet.Taint{}, "neither"},
		{"effects are spelled exactly", "a=b:noschedule", fleet.Taint{}, `unknown effect "noschedule"`},
		{"an effect is missing after its colon", "a=b:", fleet.Taint{}, `unknown effect ""`},
		{"no key", "=b:NoSchedule", fleet.Taint{}, "bad key"},
		{"a value with a space", "a=b c:NoSchedule", fleet.Taint{}, "bad value"},
		{"a value is at most 63 characters", "a=" + strings.Repeat("x", 64) + ":NoSchedule", fleet.Taint{}, "bad value"},
		{"Kubernetes would take it away again", "node.kubernetes.io/unschedulable:NoSchedule", fleet.Taint{}, "belongs to Kubernetes"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			got, err := fleet.ParseTaint(c.in)
			refused(t, err, c.bad)
			if got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
			if err == nil {
				again, err := fleet.ParseTaint(got.String())
				if err != nil || again != got {
					t.Errorf("%q reads back as %+v, %v", got, again, err)
				}
			}
		})
	}
}

func TestOfEqualTaintsTheLaterWins(t *testing.T) {
	got, err := fleet.ParseTaints("a=1:NoSchedule, b:NoExecute\na=2:NoSchedule,a=3:NoExecute,")
	if err != nil {
		t.Fatal(err)
	}
	want := []fleet.Taint{{Key: "a", Value: "2", Effect: "NoSchedule"}, {Key: "b", Effect: "NoExecute"}, {Key: "a", Value: "3", Effect: "NoExecute"}}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if _, err := fleet.ParseTaints("a=1:NoSchedule,b"); err == nil {
		t.Error("one bad taint among good ones passed")
	}
}

func TestLabelsAreReadAsPeopleWriteThem(t *testing.T) {
	for _, c := range []struct {
		reason, in string
		want       map[string]string
		bad        string
	}{
		{"pairs, commas and lines", "a=1, example.com/b=x_y.z\nc=3", map[string]string{"a": "1", "example.com/b": "x_y.z", "c": "3"}, ""},
		{"roles have no value", "node-role.kubernetes.io/db=,node-role.kubernetes.io/web", map[string]string{"node-role.kubernetes.io/db": "", "node-role.kubernetes.io/web": ""}, ""},
		{"nothing is no labels", " ,\n", map[string]string{}, ""},
		{"the same twice is once", "a=1,a=1", map[string]string{"a": "1"}, ""},
		{"one key cannot have two values", "a=1,a=2", nil, "given twice"},
		{"a value with =", "a=b=c", nil, "bad value"},
		{"an upper-case prefix", "Example.com/a=b", nil, "bad key"},
		{"no key", "=b", nil, "bad key"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			got, err := fleet.ParseLabels(c.in)
			refused(t, err, c.bad)
			if !maps.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
			if again, err2 := fleet.ParseLabels(fleet.FormatLabels(got)); err == nil && (err2 != nil || !maps.Equal(again, got)) {
				t.Errorf("%q reads back as %v, %v", fleet.FormatLabels(got), again, err2)
			}
		})
	}
}

func TestARuleSaysWhatAndOnWhom(t *testing.T) {
	good := fleet.Rule{Match: "db", Labels: map[string]string{"a": "b"}, Taints: []fleet.Taint{{Key: "a", Effect: "NoSchedule"}}}
	for _, c := range []struct {
		reason string
		change func(*fleet.Rule)
		bad    string
	}{
		{"complete", func(*fleet.Rule) {}, ""},
		{"labels alone are enough", func(r *fleet.Rule) { r.Taints = nil }, ""},
		{"it would match every server", func(r *fleet.Rule) { r.Match = "" }, "needs a part of server names"},
		{"it would do nothing", func(r *fleet.Rule) { r.Labels, r.Taints = nil, nil }, "needs labels or taints"},
		{"a bad label", func(r *fleet.Rule) { r.Labels = map[string]string{"a b": ""} }, "bad key"},
		{"a bad taint", func(r *fleet.Rule) { r.Taints = []fleet.Taint{{Key: "a", Effect: "Never"}} }, "unknown effect"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			r := good
			c.change(&r)
			refused(t, r.Validate(), c.bad)
		})
	}
}

func TestARuleIsForServersOfItsNameAndCluster(t *testing.T) {
	for _, c := range []struct {
		reason               string
		match, cluster, name string
		want                 bool
	}{
		{"a part of the name", "db", "", "prod-db-1", true},
		{"another name", "db", "", "web-1", false},
		{"in another case", "DB", "", "db-1", false},
		{"in its cluster", "db", "prod", "db-1", true},
		{"in another cluster", "db", "test", "db-1", false},
		{"in its cluster by another name", "db", "prod", "web-1", false},
	} {
		t.Run(c.reason, func(t *testing.T) {
			r := fleet.Rule{Match: c.match, ClusterID: c.cluster}
			if got := r.For(&fleet.Server{Name: c.name, Assignment: fleet.Assignment{ClusterID: "prod"}}); got != c.want {
				t.Errorf("got %t", got)
			}
		})
	}
}

// refused wants an Invalid error with a text, or none for "".
func refused(t *testing.T, err error, text string) {
	t.Helper()
	switch {
	case text == "" && err != nil:
		t.Errorf("refused: %v", err)
	case text != "" && (err == nil || fleet.KindOf(err) != fleet.Invalid || !strings.Contains(err.Error(), text)):
		t.Errorf("error %v, want an invalid one with %q", err, text)
	}
}
