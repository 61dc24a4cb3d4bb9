package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/talos-manager/talos-manager/client"
	"github.com/talos-manager/talos-manager/internal/fleet"
)

// perform is the job, in the words of the API.
func (s *stage) perform(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.o.Within)
	defer cancel()
	err := s.act(ctx)
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return s.late()
	}
	return err
}

// late says what is not done when the time is over.
func (s *stage) late() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	active, err := s.client.Operations(ctx, client.OperationFilter{States: []string{"active"}})
	if err != nil {
		return err
	}
	var left []string
	for _, op := range active.Items {
		left = append(left, fmt.Sprintf("%s stands at %q", op.Subject(), op.Step))
	}
	slices.Sort(left)
	if more := len(left) - 5; more > 0 {
		left = append(left[:5], fmt.Sprintf("and %d more", more))
	}
	if len(left) == 0 {
		left = []string{"no operation is under way"}
	}
	return fleet.Errorf(fleet.Unavailable, "the cluster is not healthy after %s: %s: %w", s.o.Within, strings.Join(left, ", "), context.DeadlineExceeded).
		WithHint("give it more time with --within; %s tells what went on", filepath.Join(s.o.Dir, "manager.log"))
}

func (s *stage) act(ctx context.Context) error {
	fmt.Fprintf(s.o.Out, "Talos Manager on a simulated Hetzner, %g times faster than life\n\n", s.o.Speed)
	fmt.Fprintf(s.o.Out, "  web page  %s   (user admin, password %s)\n", s.url, s.password)
	fmt.Fprintf(s.o.Out, "  files     %s\n\n", s.o.Dir)
	if err := s.writeEnv(); err != nil {
		return err
	}
	if err := s.accounts(ctx); err != nil {
		return err
	}
	cluster, err := s.cluster(ctx)
	if err != nil {
		return err
	}
	operations, err := s.install(ctx, cluster)
	if err != nil {
		return err
	}
	if err := s.watch(ctx, operations); err != nil {
		return err
	}
	return s.finale(ctx, cluster, operations)
}

// say prints a line with the time since the beginning.
func (s *stage) say(format string, args ...any) {
	fmt.Fprintf(s.o.Out, "%6.1fs  %s\n", time.Since(s.begun).Seconds(), fmt.Sprintf(format, args...))
}

// accounts adds the accounts and lists what they have.
func (s *stage) accounts(ctx context.Context) error {
	for i, l := range s.world.logins {
		if _, err := s.client.AddAccount(ctx, client.NewAccount{Name: numbered("robot", i), Provider: "hetzner_robot", User: l.User, Password: l.Password}); err != nil {
			return err
		}
	}
	for i, token := range s.world.tokens {
		if _, err := s.client.AddAccount(ctx, client.NewAccount{Name: numbered("cloud", i), Provider: "hetzner_cloud", Token: token}); err != nil {
			return err
		}
	}
	if _, err := s.client.SyncServers(ctx); err != nil {
		return err
	}
	servers, err := s.client.Servers(ctx, client.ServerFilter{Limit: 1})
	if err != nil {
		return err
	}
	s.say("%d accounts added, %d servers found", len(s.world.logins)+len(s.world.tokens), servers.Total)
	return nil
}

func numbered(name string, i int) string {
	if i == 0 {
		return name
	}
	return fmt.Sprintf("%s-%d", name, i+1)
}

const clusterName = "demo"

// cluster makes the cluster, says which nodes get labels and taints, and assigns every server.
func (s *stage) cluster(ctx context.Context) (client.Cluster, error) {
	endpoint := "https://" + s.world.machines[0].IPv4.String() + ":6443"
	c, err := s.client.CreateCluster(ctx, client.NewCluster{Name: clusterName, Endpoint: endpoint})
	if err != nil {
		return c, err
	}
	if _, err := s.client.CreateRule(ctx, client.NewRule{
		Cluster: clusterName, Match: "worker",
		Labels: map[string]string{"node-role.kubernetes.io/worker": ""},
	}); err != nil {
		return c, err
	}
	if _, err := s.client.CreateRule(ctx, client.NewRule{
		Cluster: clusterName, Match: "worker-1",
		Labels: map[string]string{"node-role.kubernetes.io/database": ""}, Taints: []client.Taint{{Key: "role", Value: "database", Effect: "NoSchedule"}},
	}); err != nil {
		return c, err
	}
	for _, m := range s.world.machines {
		name := clusterName
		change := client.AssignmentChange{Cluster: &name}
		if len(m.Disks) > 1 {
			change.InstallDisk = &m.Disks[0].WWN
		}
		if _, err := s.client.AssignServer(ctx, m.Name, change); err != nil {
			return c, err
		}
	}
	s.say("cluster %s: Talos %s, Kubernetes %s, endpoint %s", c.Name, c.TalosVersion, c.KubernetesVersion, c.Endpoint)
	return c, nil
}

// install starts all installs at once.
func (s *stage) install(ctx context.Context, _ client.Cluster) ([]client.Operation, error) {
	var out []client.Operation
	for _, m := range s.world.machines {
		op, err := s.client.InstallServer(ctx, m.Name, client.InstallOptions{})
		if err != nil {
			return nil, err
		}
		out = append(out, op)
	}
	s.say("%d installs started", len(out))
	bootstraps, err := s.client.Operations(ctx, client.OperationFilter{Cluster: clusterName, Kind: "cluster.bootstrap"})
	return append(out, bootstraps.Items...), err
}

// told are the steps worth a line when they end; the rest is on the web page.
var told = map[string]string{
	"reach the rescue system": "in the rescue system",
	"write the image":         "image written and read back",
	"hand over the config":    "has its machine config",
	"check the node":          "runs Talos",
	"bootstrap etcd":          "etcd bootstrapped, once",
	"label the node":          "Ready, labelled and tainted",
}

// watch follows every operation to its end, and answers nothing: a question or a failure ends the demo.
func (s *stage) watch(ctx context.Context, operations []client.Operation) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	var mu sync.Mutex
	for i := range operations {
		wg.Go(func() {
			op, err := s.follow(ctx, &mu, operations[i].ID)
			if err != nil {
				cancel(fmt.Errorf("%s: %w", operations[i].Subject(), err))
			}
			operations[i] = op
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

func (s *stage) follow(ctx context.Context, mu *sync.Mutex, id string) (client.Operation, error) {
	seen := map[string]bool{}
	op, err := s.client.WaitOperation(ctx, id, func(e client.Event) {
		if e.Operation == nil {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		for _, step := range e.Operation.Steps {
			if text := told[step.Name]; text != "" && step.State == "succeeded" && !seen[step.Name] && len(s.world.machines) <= 20 {
				seen[step.Name] = true
				s.say("%-16s %s", e.Operation.Subject(), text)
			}
		}
	})
	if err != nil {
		return op, err
	}
	return op, op.Err()
}

// finale writes the files and shows how it went.
func (s *stage) finale(ctx context.Context, c client.Cluster, operations []client.Operation) error {
	talosconfig, err := s.client.Talosconfig(ctx, c.ID)
	if err != nil {
		return err
	}
	kubeconfig, err := s.client.Kubeconfig(ctx, c.ID)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(s.o.Dir, "talosconfig"), talosconfig, 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(s.o.Dir, "kubeconfig"), kubeconfig, 0o600); err != nil {
		return err
	}
	if err := s.healthy(ctx); err != nil {
		return err
	}
	s.say("all %d nodes are Ready", len(s.world.machines))
	fmt.Fprint(s.o.Out, "\n", timeline(operations, s.begun))
	fmt.Fprint(s.o.Out, "\n", s.whereToLook())
	return nil
}

// healthy is the last word: every server's state, as the manager sees its node.
func (s *stage) healthy(ctx context.Context) error {
	servers, err := s.client.Servers(ctx, client.ServerFilter{Cluster: clusterName})
	if err != nil {
		return err
	}
	var not []string
	for _, one := range servers.Items {
		if one.State != "ready" {
			not = append(not, one.Name+" is "+one.State)
		}
	}
	if len(not) > 0 || servers.Total != len(s.world.machines) {
		return fmt.Errorf("%d of %d servers are nodes; %s", servers.Total-len(not), len(s.world.machines), strings.Join(not, ", "))
	}
	return nil
}
