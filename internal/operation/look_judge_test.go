package operation_test

import (
	"strings"
	"testing"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/operation"
)

func TestWhatIsNotWellIsSaidInSentences(t *testing.T) {
	t.Parallel()
	node := func(name, problem string, ailing ...string) operation.NodeLook {
		return operation.NodeLook{Server: fleet.Server{ID: name, Name: name}, Problem: problem, Ailing: ailing}
	}
	member := func(name, state string, missed ...string) operation.EtcdMember {
		return operation.EtcdMember{Hostname: name, Server: name, State: state, Missed: missed}
	}
	kube := func(names ...string) (k operation.KubernetesLook) {
		for _, name := range names {
			k.Nodes = append(k.Nodes, operation.KubeNode{Name: name, Server: name, Ready: true})
		}
		return k
	}
	down := kube("a")
	down.Nodes[0].Ready, down.Nodes[0].Reason = false, "KubeletNotReady"
	for _, tc := range []struct {
		why  string
		look operation.ClusterLook
		want []string
	}{
		{"all is well", operation.ClusterLook{Nodes: []operation.NodeLook{node("a", "")}, Members: []operation.EtcdMember{member("a", "Running")}, Kubernetes: kube("a")}, nil},
		{"nothing runs yet", operation.ClusterLook{Kubernetes: operation.KubernetesLook{Problem: "no API"}}, []string{"Kubernetes API: no API"}},
		{"nobody tells of etcd", operation.ClusterLook{Nodes: []operation.NodeLook{node("a", "no answer")}, Kubernetes: kube("a")}, []string{"etcd: no control plane told", "node a: no answer"}},
		{
			"two of three run",
			operation.ClusterLook{Members: []operation.EtcdMember{member("a", "Running"), member("b", "Running"), member("c", "")}, Kubernetes: kube()},
			[]string{"etcd: 2 of 3 members run"},
		},
		{
			"one of three runs",
			operation.ClusterLook{Members: []operation.EtcdMember{member("a", "Running"), member("b", ""), member("c", "")}, Kubernetes: kube()},
			[]string{"etcd: no quorum, 1 of 3 members run and 2 are needed"},
		},
		{
			"a learner has no vote", operation.ClusterLook{Members: []operation.EtcdMember{member("a", "Running"), {Learner: true}}, Kubernetes: kube()}, nil,
		},
		{
			"control planes differ",
			operation.ClusterLook{Members: []operation.EtcdMember{member("a", "Running", "b")}, Kubernetes: kube()},
			[]string{"etcd: control planes list different members"},
		},
		{
			"a service ails, and Kubernetes lacks the node",
			operation.ClusterLook{Nodes: []operation.NodeLook{node("a", "", "kubelet: Failed")}, Members: []operation.EtcdMember{member("a", "Running")}, Kubernetes: kube()},
			[]string{"node a: service kubelet: Failed", "node a: Kubernetes has no node of its name"},
		},
		{"a node is not Ready", operation.ClusterLook{Kubernetes: down, Members: []operation.EtcdMember{member("a", "Running")}}, []string{"node a: Kubernetes says it is not Ready: KubeletNotReady"}},
	} {
		got := tc.look.Problems()
		if len(got) != len(tc.want) {
			t.Errorf("%s: %q, want %q", tc.why, got, tc.want)
			continue
		}
		for i := range got {
			if !strings.HasPrefix(got[i], tc.want[i]) {
				t.Errorf("%s: %q, want %q", tc.why, got[i], tc.want[i])
			}
		}
	}
}
