package operation

import "fmt"

// EtcdHealth is how etcd of a cluster does, as its control planes told.
type EtcdHealth struct {
	Voters  int  // members that vote: learners do not
	Running int  // of them
	Quorum  int  // how many have to run
	Split   bool // control planes list different members
}

// Etcd judges what was told of etcd's members. Without voters nobody told of any.
func (l ClusterLook) Etcd() (h EtcdHealth) {
	for _, m := range l.Members {
		h.Split = h.Split || len(m.Missed) > 0
		if m.Learner {
			continue
		}
		h.Voters++
		if m.State == "Running" {
			h.Running++
		}
	}
	h.Quorum = h.Voters/2 + 1
	return h
}

// KubeNodeOf is what Kubernetes says of a server's node; nil if it has none.
func (l ClusterLook) KubeNodeOf(serverID string) *KubeNode {
	for i := range l.Kubernetes.Nodes {
		if n := &l.Kubernetes.Nodes[i]; n.Server == serverID {
			return n
		}
	}
	return nil
}

// Problems says in sentences what is not well, the most urgent first: etcd, the Kubernetes API, then node by node. None:
// all that was asked answered, and is well.
func (l ClusterLook) Problems() []string {
	all := l.etcdProblems()
	if l.Kubernetes.Problem != "" {
		all = append(all, "Kubernetes API: "+l.Kubernetes.Problem)
	}
	for _, n := range l.Nodes {
		name := n.Server.Hostname()
		if n.Problem != "" {
			all = append(all, "node "+name+": "+n.Problem)
		}
		for _, service := range n.Ailing {
			all = append(all, "node "+name+": service "+service)
		}
		if l.KubeNodeOf(n.Server.ID) == nil && l.Kubernetes.Problem == "" {
			all = append(all, "node "+name+": Kubernetes has no node of its name")
		}
	}
	for _, n := range l.Kubernetes.Nodes {
		if !n.Ready {
			all = append(all, "node "+n.Name+": Kubernetes says it is not Ready: "+n.Reason)
		}
	}
	return all
}

func (l ClusterLook) etcdProblems() []string {
	switch h := l.Etcd(); {
	case h.Voters == 0 && len(l.Nodes) == 0:
		return nil // nothing runs yet, as Kubernetes' problem says
	case h.Voters == 0:
		return []string{"etcd: no control plane told of members"}
	case h.Split:
		return []string{"etcd: control planes list different members, it may be split; restore none of them before you know why"}
	case h.Running < h.Quorum:
		return []string{fmt.Sprintf("etcd: no quorum, %d of %d members run and %d are needed", h.Running, h.Voters, h.Quorum)}
	case h.Running < h.Voters:
		return []string{fmt.Sprintf("etcd: %d of %d members run", h.Running, h.Voters)}
	}
	return nil
}
