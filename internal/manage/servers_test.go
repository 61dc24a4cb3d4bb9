package manage_test

import (
	"strings"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/manage"
)

func TestAnAssignmentThatCannotWorkIsRefused(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.rent(t, "worker-1", "worker-2", "Bad_Name")
	l.cluster(t, "prod", "worker-2")
	ok(l.Assign(t.Context(), "test", "worker-2", manage.AssignmentChange{PrivateIP: ptr("10.0.0.2")}))(t)
	s := ok(l.Store.Server(t.Context(), "worker-1"))(t)
	must(t, l.Store.SetFacts(t.Context(), s.ID, fleet.Facts{At: time.Now(), Disks: []fleet.Disk{
		{Name: "nvme0n1", WWID: "eui.1", Serial: "S1"}, {Name: "sda", WWID: "naa.5002"}, {Name: "sdb"},
	}}))
	for _, tc := range []struct {
		why, server string
		c           manage.AssignmentChange
		kind        fleet.Kind
		text, hint  string
	}{
		{"no cluster", "worker-1", manage.AssignmentChange{Role: ptr(fleet.Worker)}, fleet.Invalid, "no cluster", "--cluster NAME"},
		{"no such cluster", "worker-1", manage.AssignmentChange{Cluster: ptr("nope")}, fleet.NotFound, "nope", ""},
		{"no such config", "worker-1", manage.AssignmentChange{Cluster: ptr("prod"), Config: ptr("nope")}, fleet.NotFound, "nope", ""},
		{"no such schematic", "worker-1", manage.AssignmentChange{Cluster: ptr("prod"), Schematic: ptr("nope")}, fleet.NotFound, "nope", ""},
		{"no such role", "worker-1", manage.AssignmentChange{Cluster: ptr("prod"), Role: ptr(fleet.Role("boss"))}, fleet.Invalid, "unknown role", "controlplane"},
		{"a name that is no host name", "Bad_Name", manage.AssignmentChange{Cluster: ptr("prod")}, fleet.Invalid, "DNS label", "63"},
		{"the node name is taken", "worker-1", manage.AssignmentChange{Cluster: ptr("prod"), Hostname: ptr("worker-2")}, fleet.Conflict, "worker-2", "another hostname"},
		{"the private address is taken", "worker-1", manage.AssignmentChange{Cluster: ptr("prod"), PrivateIP: ptr("10.0.0.2")}, fleet.Conflict, "10.0.0.2", "another private address"},
		{"a private address with prefix length", "worker-1", manage.AssignmentChange{Cluster: ptr("prod"), PrivateIP: ptr("10.0.0.3/24")}, fleet.Invalid, "10.0.0.3/24", "without a prefix"},
		{"a disk by the name of this boot", "worker-1", manage.AssignmentChange{Cluster: ptr("prod"), InstallDisk: ptr("nvme2n1")}, fleet.Invalid, "changes between boots", "WWID"},
		{"a disk by its path", "worker-1", manage.AssignmentChange{Cluster: ptr("prod"), InstallDisk: ptr("/dev/disk/by-id/x")}, fleet.Invalid, "changes between boots", "WWID"},
		{"a disk it does not have", "worker-1", manage.AssignmentChange{Cluster: ptr("prod"), InstallDisk: ptr("eui.9")}, fleet.Invalid, "had no disk eui.9", "server rescue"},
		{"an empty serial number is no disk", "worker-1", manage.AssignmentChange{Cluster: ptr("prod"), InstallDisk: ptr("serial:")}, fleet.Invalid, "no disk serial:", "server rescue"},
		{"EPHEMERAL without a kind", "worker-1", manage.AssignmentChange{Cluster: ptr("prod"), EphemeralDisk: ptr("eui.1")}, fleet.Invalid, "EPHEMERAL", "wwid:"},
		{"EPHEMERAL on the install disk", "worker-1", manage.AssignmentChange{Cluster: ptr("prod"), InstallDisk: ptr("eui.1"), EphemeralDisk: ptr("wwid:eui.1")}, fleet.Invalid, "disk to install on", "leave it empty"},
		{"a patch that Talos does not know", "worker-1", manage.AssignmentChange{Cluster: ptr("prod"), Patch: ptr("machine:\n  nonsense: 1\n")}, fleet.Invalid, "nonsense", itself},
	} {
		_, err := l.Assign(t.Context(), "test", tc.server, tc.c)
		refused(t, tc.why, err, tc.kind, tc.text, tc.hint)
	}
	if s = ok(l.Store.Server(t.Context(), "worker-1"))(t); s.Assignment.Assigned() {
		t.Error("a refused assignment was written")
	}
	s = ok(l.Assign(t.Context(), "ada", "worker-1", manage.AssignmentChange{Cluster: ptr("prod"), InstallDisk: ptr("0x5002"), EphemeralDisk: ptr("wwid:eui.1")}))(t)
	if s.Assignment.InstallDisk != "naa.5002" || s.Assignment.Role != fleet.Worker {
		t.Errorf("assigned: %+v", s.Assignment)
	}
	if got := l.said(t, "server.assign"); got != "ada: worker-1 is to be a worker named worker-1" {
		t.Error(got)
	}
}

func TestANodeIsNotChangedAndLeavesKnowingly(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		why, server string
		state       fleet.State
		running     bool // the cluster is bootstrapped
		change      manage.AssignmentChange
		kind        fleet.Kind // "": allowed
		text, hint  string
	}{
		{"a node keeps its role", "worker-1", fleet.Ready, true, manage.AssignmentChange{Role: ptr(fleet.ControlPlane)}, fleet.Refused, "runs as a node", "--cluster ''"},
		{"a worker may go", "worker-1", fleet.Ready, true, manage.AssignmentChange{Cluster: ptr("")}, "", "kubectl delete node worker-1", ""},
		{"etcd counts a control plane", "control-plane-1", fleet.Ready, true, manage.AssignmentChange{Cluster: ptr("")}, fleet.Refused, "etcd counts it", "reset --graceful"},
		{"one that is not well counts too", "control-plane-1", fleet.Unhealthy, true, manage.AssignmentChange{Cluster: ptr("")}, fleet.Refused, "etcd counts it", "remove-member"},
		{"one that broke may have joined before", "control-plane-1", fleet.Broken, true, manage.AssignmentChange{Cluster: ptr("")}, fleet.Refused, "etcd counts it", "--force"},
		{"nor does it become a worker", "control-plane-1", fleet.Broken, true, manage.AssignmentChange{Role: ptr(fleet.Worker)}, fleet.Refused, "etcd counts it", "--force"},
		{"nor another cluster's", "control-plane-1", fleet.Broken, true, manage.AssignmentChange{Cluster: ptr("other")}, fleet.Refused, "etcd counts it", "--force"},
		{"who knows what they do", "control-plane-1", fleet.Ready, true, manage.AssignmentChange{Cluster: ptr(""), Force: true}, "", "kubectl delete node control-plane-1", ""},
		{"before the bootstrap there is no etcd", "control-plane-1", fleet.Configured, false, manage.AssignmentChange{Cluster: ptr("")}, "", "runs on", ""},
		{"it was never installed", "control-plane-1", fleet.Known, true, manage.AssignmentChange{Cluster: ptr("")}, "", "belongs to no cluster", ""},
	} {
		t.Run(tc.why, func(t *testing.T) {
			l := newLab(t)
			l.rent(t, "control-plane-1", "worker-1")
			c := l.cluster(t, "prod", "control-plane-1", "worker-1")
			if tc.change.Cluster != nil && *tc.change.Cluster != "" {
				l.cluster(t, *tc.change.Cluster)
			}
			if tc.running {
				must(t, l.Store.MarkBootstrapped(t.Context(), c.ID, time.Now()))
			}
			l.becomes(t, tc.server, tc.state)
			s, err := l.Assign(t.Context(), "ada", tc.server, tc.change)
			if tc.kind != "" {
				refused(t, tc.why, err, tc.kind, tc.text, tc.hint)
				if s = ok(l.Store.Server(t.Context(), tc.server))(t); s.Assignment.ClusterID != c.ID || s.State != tc.state {
					t.Errorf("it was changed all the same: %+v", s.Assignment)
				}
				return
			}
			must(t, err)
			if s.State != fleet.Known || s.Assignment.Assigned() {
				t.Errorf("it is %s with %+v", s.State, s.Assignment)
			}
			if got := l.said(t, "server.assign"); !strings.Contains(got, tc.text) {
				t.Error(got)
			}
		})
	}
}

func TestAServerIsRenamedAtItsProviderUnlessANodeHasTheName(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.rent(t, "one", "two")
	l.cluster(t, "prod", "one", "two")
	ok(l.RenameServer(t.Context(), "ada", "one", "uno"))(t)
	s := ok(l.Store.Server(t.Context(), "uno"))(t)
	driver := ok(l.Driver(t.Context(), s.AccountID))(t)
	if there := ok(driver.Server(t.Context(), s.ProviderID))(t); there.Name != "uno" {
		t.Errorf("the provider says %q", there.Name)
	}
	if got := l.said(t, "server.rename"); got != "ada: renamed one to uno" {
		t.Error(got)
	}
	_, err := l.RenameServer(t.Context(), "test", "uno", "No good")
	refused(t, "no DNS label", err, fleet.Invalid, "DNS label", "63")
	_, err = l.RenameServer(t.Context(), "test", "uno", "two")
	refused(t, "two nodes of one name", err, fleet.Conflict, `"two"`, "another name")
	l.set(t, manage.LayerRef{Scope: fleet.ScopeServer, Owner: "uno"}, fleet.Patch{
		Name: "size", Text: "apiVersion: v1alpha1\nkind: UserVolumeConfig\nname: ${server_name}\nprovisioning: {maxSize: 10GB, minSize: 10GB, diskSelector: {match: system_disk}}\n",
	})
	_, err = l.RenameServer(t.Context(), "test", "uno", strings.Repeat("long", 10))
	refused(t, "a name that its patches cannot take", err, fleet.Invalid, `patch "size"`, "")
	if there := ok(driver.Server(t.Context(), s.ProviderID))(t); there.Name != "uno" {
		t.Errorf("the provider says %q", there.Name)
	}
	l.becomes(t, "uno", fleet.Ready)
	_, err = l.RenameServer(t.Context(), "test", "uno", "eins")
	refused(t, "a node has the name", err, fleet.Refused, "node of that name", "installed anew")
}
