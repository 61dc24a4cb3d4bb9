package manage_test

import (
	"strings"
	"testing"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
)

func TestServersAreProposedWhatIsFree(t *testing.T) {
	is := func(name string, a fleet.Assignment) fleet.Server { return fleet.Server{Name: name, Assignment: a} }
	member := is("cp", fleet.Assignment{ClusterID: "c", Role: fleet.ControlPlane, Hostname: "cp-1", PrivateIP: "10.0.0.9"})
	for _, tc := range []struct {
		why, network string
		members      []fleet.Server
		server       fleet.Server
		want         manage.Proposal
	}{
		{"the only server of a new cluster is its control plane", "", nil, is("web-1", fleet.Assignment{}), manage.Proposal{Role: fleet.ControlPlane, Hostname: "web-1"}},
		{"a name that says so is a control plane", "", []fleet.Server{member}, is("master-2", fleet.Assignment{}), manage.Proposal{Role: fleet.ControlPlane, Hostname: "master-2"}},
		{"the address after the highest", "10.0.0.0/16", []fleet.Server{member}, is("web-1", fleet.Assignment{}), manage.Proposal{Role: fleet.Worker, Hostname: "web-1", PrivateIP: "10.0.0.10"}},
		{"the first address of a network is the gateway's", "10.0.0.0/16", nil, is("control-plane-1", fleet.Assignment{}), manage.Proposal{Role: fleet.ControlPlane, Hostname: "control-plane-1", PrivateIP: "10.0.0.2"}},
		{"the lowest when the end is reached", "10.0.0.8/29", []fleet.Server{member, is("x", fleet.Assignment{PrivateIP: "10.0.0.14"})}, is("web-1", fleet.Assignment{}), manage.Proposal{Role: fleet.Worker, Hostname: "web-1", PrivateIP: "10.0.0.10"}},
		{"none when all are taken", "10.0.0.8/30", []fleet.Server{member, is("x", fleet.Assignment{PrivateIP: "10.0.0.10"})}, is("web-1", fleet.Assignment{}), manage.Proposal{Role: fleet.Worker, Hostname: "web-1"}},
		{"a name that another node has", "", []fleet.Server{member}, is("cp-1", fleet.Assignment{}), manage.Proposal{Role: fleet.Worker, Hostname: "cp-1-2"}},
		{"what is no DNS label becomes one", "", []fleet.Server{member}, is("Web server_7!", fleet.Assignment{}), manage.Proposal{Role: fleet.Worker, Hostname: "web-server-7"}},
		{"a name of nothing that a label may have", "", []fleet.Server{member}, is("—", fleet.Assignment{}), manage.Proposal{Role: fleet.Worker, Hostname: "node"}},
		{"what it is already stays", "10.0.0.0/16", []fleet.Server{member}, member, manage.Proposal{Role: fleet.ControlPlane, Hostname: "cp-1", PrivateIP: "10.0.0.9"}},
	} {
		got := manage.Propose(fleet.Cluster{ID: "c", PrivateNetwork: tc.network}, tc.members, []fleet.Server{tc.server})
		if got[0] != tc.want {
			t.Errorf("%s: got %+v, want %+v", tc.why, got[0], tc.want)
		}
	}
	long := manage.Propose(fleet.Cluster{ID: "c"}, nil, []fleet.Server{is(strings.Repeat("a", 59)+"-b-c", fleet.Assignment{}), is(strings.Repeat("a", 59)+"-b-d", fleet.Assignment{})})
	if fleet.CheckName("host", long[0].Hostname) != nil || fleet.CheckName("host", long[1].Hostname) != nil || long[0].Hostname == long[1].Hostname {
		t.Errorf("long names: %+v", long)
	}
	several := manage.Propose(fleet.Cluster{ID: "c", PrivateNetwork: "10.0.0.0/24"}, nil, []fleet.Server{is("a", fleet.Assignment{}), is("control-plane-1", fleet.Assignment{}), is("a", fleet.Assignment{})})
	if several[0].Role != fleet.Worker || several[2].Hostname != "a-2" || several[2].PrivateIP != "10.0.0.4" {
		t.Errorf("several at once: %+v", several)
	}
}
