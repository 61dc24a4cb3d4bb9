package kube_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/kube"
)

func TestWhoMayNotIsForbidden(t *testing.T) {
	everywhere(t, func(l *lab) {
		_, err := l.as("mallory", "developers").Nodes(l.Context())
		if fleet.KindOf(err) != fleet.Forbidden || !strings.HasPrefix(err.Error(), "list nodes: ") || !strings.Contains(err.Error(), `User "mallory" cannot list resource "nodes"`) {
			l.Errorf("error %v", err)
		}
	})
}

func TestANodeMayOnlyChangeItself(t *testing.T) {
	everywhere(t, func(l *lab) {
		l.addNode("self-1", nil)
		l.addNode("self-2", nil)
		node := l.as("system:node:self-1", "system:nodes")
		if err := node.SetLabels(l.Context(), "self-1", map[string]string{"a": "b"}); err != nil {
			l.Errorf("itself: %v", err)
		}
		if err := node.Cordon(l.Context(), "self-2"); fleet.KindOf(err) != fleet.Forbidden {
			l.Errorf("another: %v", err)
		}
	})
}

func TestAStrangersCertificateIsUnauthorized(t *testing.T) {
	everywhere(t, func(l *lab) {
		c := l.reach(kubeconfig(l.url, newAuthority(l.T), l.ca, "admin", "system:masters"))
		if _, err := c.Nodes(l.Context()); fleet.KindOf(err) != fleet.Unauthorized || fleet.HintOf(err) == "" {
			l.Errorf("error %v, hint %q", err, fleet.HintOf(err))
		}
	})
}

func TestAnotherClustersServerIsNotTrusted(t *testing.T) {
	everywhere(t, func(l *lab) {
		c := l.reach(kubeconfig(l.url, l.ca, newAuthority(l.T), "admin", "system:masters"))
		if _, err := c.Version(l.Context()); fleet.KindOf(err) != fleet.Unauthorized || !strings.Contains(fleet.HintOf(err), "is not the cluster of this kubeconfig") {
			l.Errorf("error %v, hint %q", err, fleet.HintOf(err))
		}
	})
}

// reach opens a kubeconfig in the lab's network.
func (l *lab) reach(config []byte) *kube.Cluster {
	l.Helper()
	c, err := kube.Open(config, l.dial)
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(c.Close)
	return c
}

func TestNobodyThereIsUnavailable(t *testing.T) {
	l := simulated(t)
	refused := l.reach(kubeconfig("https://nobody.sim:6443", l.ca, l.ca, "admin", "system:masters"))
	if _, err := refused.Nodes(t.Context()); fleet.KindOf(err) != fleet.Unavailable || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("error %v", err)
	}
	dark := l.reach(kubeconfig("https://10.0.0.9:6443", l.ca, l.ca, "admin", "system:masters"))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := dark.Nodes(ctx)
	if fleet.KindOf(err) != fleet.Unavailable || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "list nodes: no answer from the Kubernetes API at https://10.0.0.9:6443") {
		t.Errorf("error %v", err)
	}
}

func TestNoQuorumIsUnavailable(t *testing.T) {
	for _, c := range []struct {
		reason string
		speed  float64
		within time.Duration
		want   string
	}{
		{"the API server gives up after a minute", 1000, 9 * time.Second, "the server was unable to return a response in the time allotted"},
		{"we give up before it", 1, 300 * time.Millisecond, "no answer from the Kubernetes API"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			l := simulatedAt(t, c.speed)
			l.silent.Store(true)
			ctx, cancel := context.WithTimeout(t.Context(), c.within)
			defer cancel()
			_, err := l.Nodes(ctx)
			if fleet.KindOf(err) != fleet.Unavailable || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v", err)
			}
			l.silent.Store(false)
			if _, err := l.Nodes(t.Context()); err != nil {
				t.Errorf("with quorum again: %v", err)
			}
		})
	}
}

const execConfig = `apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://10.0.0.1:6443"}}]
users: [{name: u, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: rm, interactiveMode: Never}}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
`

func TestAKubeconfigThatIsNoneIsInvalid(t *testing.T) {
	ca := newAuthority(t)
	good := string(kubeconfig("https://10.0.0.1:6443", ca, ca, "admin"))
	for _, c := range []struct{ reason, config, want string }{
		{"empty", "", "read kubeconfig"},
		{"no YAML", "\tx: [", "read kubeconfig"},
		{"no such context", strings.Replace(good, "current-context: x", "current-context: y", 1), "read kubeconfig"},
		{"a certificate that is none", strings.Replace(good, "certificate-authority-data: ", "certificate-authority-data: AAAA", 1), "kubeconfig of https://10.0.0.1:6443"},
		{"it would run a program", execConfig, "runs a program"},
		{"it would read a file of ours", strings.Replace(execConfig, "exec: {apiVersion: client.authentication.k8s.io/v1, command: rm, interactiveMode: Never}", "tokenFile: /etc/hostname", 1), "refers to files"},
		{"it would trust anybody", strings.Replace(good, "certificate-authority-data: ", "insecure-skip-tls-verify: true, x-data: ", 1), "does not check the server's certificate"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			_, err := kube.Open([]byte(c.config), nil)
			if fleet.KindOf(err) != fleet.Invalid || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v", err)
			}
		})
	}
}
