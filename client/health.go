package client

import (
	"context"
	"net/http"
	"time"
)

// ClusterHealth is what the nodes, the etcd and the Kubernetes API of a cluster say of themselves at one moment. Whoever
// did not answer is in it, with why.
type ClusterHealth struct {
	At         time.Time        `json:"at"`
	Problems   []string         `json:"problems,omitempty" doc:"what is not well, the most urgent first; absent: nothing"`
	Nodes      []NodeHealth     `json:"nodes" nullable:"false" doc:"servers that run as nodes by the manager's records, by hostname"`
	Etcd       EtcdHealth       `json:"etcd"`
	Kubernetes KubernetesHealth `json:"kubernetes"`
}

// NodeHealth is what Talos of one server says.
type NodeHealth struct {
	Server   Ref      `json:"server"`
	Hostname string   `json:"hostname"`
	Role     string   `json:"role" enum:"controlplane,worker"`
	Talos    string   `json:"talos,omitempty" doc:"v1.14.1; absent: it did not answer"`
	Etcd     string   `json:"etcd,omitempty" doc:"state of its etcd service: Running, Preparing; absent on workers"`
	Ailing   []string `json:"ailing,omitempty" doc:"services that are not well, each with why"`
	Problem  string   `json:"problem,omitempty" doc:"why it did not answer"`
}

// EtcdHealth is how etcd does.
type EtcdHealth struct {
	Voters  int          `json:"voters" doc:"members that vote; 0: no control plane told of members"`
	Running int          `json:"running" doc:"how many of them run"`
	Quorum  int          `json:"quorum" doc:"how many have to run"`
	Split   bool         `json:"split,omitempty" doc:"control planes list different members"`
	Members []EtcdMember `json:"members" nullable:"false"`
}

// EtcdMember is a member of etcd, as control planes list it.
type EtcdMember struct {
	ID       string   `json:"id" doc:"hexadecimal, as talosctl etcd members prints it"`
	Hostname string   `json:"hostname,omitempty" doc:"absent of a learner that has just joined"`
	Server   *Ref     `json:"server,omitempty" doc:"absent: no server of the cluster has that hostname"`
	Learner  bool     `json:"learner,omitempty"`
	State    string   `json:"state,omitempty" doc:"of its etcd service as its own node says; absent: it did not answer"`
	SeenBy   []string `json:"seenBy,omitempty" doc:"hostnames of the control planes that list it"`
	Missed   []string `json:"missedBy,omitempty" doc:"of those that list members, but not this one"`
}

// KubernetesHealth is what the Kubernetes API says.
type KubernetesHealth struct {
	Version string           `json:"version,omitempty"`
	Problem string           `json:"problem,omitempty" doc:"why it did not answer"`
	Nodes   []KubernetesNode `json:"nodes" nullable:"false"`
}

// KubernetesNode is a node of Kubernetes.
type KubernetesNode struct {
	Name     string    `json:"name"`
	Server   *Ref      `json:"server,omitempty" doc:"absent: no server of the cluster has that hostname"`
	Ready    bool      `json:"ready"`
	Reason   string    `json:"reason,omitempty" doc:"why it is not Ready"`
	Since    time.Time `json:"since,omitzero"`
	Kubelet  string    `json:"kubelet,omitempty" doc:"v1.36.3"`
	Cordoned bool      `json:"cordoned,omitempty"`
}

// ClusterHealth asks the nodes of a cluster, and its Kubernetes API, how they are: some seconds at most.
func (c *Client) ClusterHealth(ctx context.Context, ref string) (h ClusterHealth, err error) {
	return h, c.call(ctx, http.MethodGet, at("/clusters/%s/health", ref), nil, nil, &h)
}
