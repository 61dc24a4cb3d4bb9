package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	talos "github.com/siderolabs/talos/pkg/machinery/client"
	clientconfig "github.com/siderolabs/talos/pkg/machinery/client/config"

	"github.com/siderolabs/talos/pkg/machinery/api/machine"

	"github.com/talos-manager/talos-manager/client"
	"github.com/talos-manager/talos-manager/internal/simulator"
	"github.com/talos-manager/talos-manager/internal/simulator/hetzner"
	"github.com/talos-manager/talos-manager/internal/simulator/world"
)

const pace = 40

// lab is a simulated Hetzner on real sockets, with a Robot login and a Cloud project.
type lab struct {
	t        *testing.T
	sim      *simulator.Simulator
	login    hetzner.Login
	token    string
	machines []*world.Machine
}

// newLab rents servers: dedicated ones first, all of them control planes but those from the fourth on.
func newLab(t *testing.T, dedicated, cloud int) *lab {
	t.Helper()
	l := &lab{t: t, login: hetzner.Login{User: "#ws+e2e", Password: "secret-of-robot"}, token: hetzner.Token(t.Name())}
	sim, err := simulator.New(simulator.Options{
		World: world.Options{Speed: pace, Expose: true, Unprivileged: os.Geteuid() != 0},
		Robot: hetzner.RobotOptions{Logins: []hetzner.Login{l.login}},
		Cloud: hetzner.CloudOptions{Projects: []hetzner.Project{{Token: l.token}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sim.Close)
	l.sim = sim
	for i := range dedicated + cloud {
		name := fmt.Sprintf("control-plane-%d", i+1)
		if i >= 3 {
			name = fmt.Sprintf("worker-%d", i-2)
		}
		if i < dedicated {
			l.machines = append(l.machines, sim.AddDedicated(l.login.User, name))
		} else {
			l.machines = append(l.machines, sim.AddCloud(l.token, name))
		}
	}
	return l
}

// accounts adds the accounts that have servers, and lists them.
func (l *lab) accounts(ctx context.Context, c *client.Client) {
	l.t.Helper()
	has := func(k world.Kind) bool {
		return slices.ContainsFunc(l.machines, func(m *world.Machine) bool { return m.Kind == k })
	}
	var all []client.NewAccount
	if has(world.Dedicated) {
		all = append(all, client.NewAccount{Name: "robot", Provider: "hetzner_robot", User: l.login.User, Password: l.login.Password})
	}
	if has(world.Cloud) {
		all = append(all, client.NewAccount{Name: "cloud", Provider: "hetzner_cloud", Token: l.token})
	}
	for _, a := range all {
		if _, err := c.AddAccount(ctx, a); err != nil {
			l.t.Fatal(err)
		}
	}
	if _, err := c.SyncServers(ctx); err != nil {
		l.t.Fatal(err)
	}
}

const clusterName = "prod"

// install makes a cluster of all servers and orders their installs.
func (l *lab) install(ctx context.Context, c *client.Client) []client.Operation {
	l.t.Helper()
	name := clusterName
	if _, err := c.CreateCluster(ctx, client.NewCluster{Name: name, Endpoint: "https://" + l.machines[0].IPv4.String() + ":6443"}); err != nil {
		l.t.Fatal(err)
	}
	for _, m := range l.machines {
		change := client.AssignmentChange{Cluster: &name}
		if len(m.Disks) > 1 {
			change.InstallDisk = &m.Disks[0].WWN
		}
		if _, err := c.AssignServer(ctx, m.Name, change); err != nil {
			l.t.Fatal(err)
		}
	}
	var all []client.Operation
	for _, m := range l.machines {
		op, err := c.InstallServer(ctx, m.Name, client.InstallOptions{})
		if err != nil {
			l.t.Fatal(err)
		}
		all = append(all, op)
	}
	return all
}

// finished waits for the operations to succeed.
func (l *lab) finished(ctx context.Context, c *client.Client, all []client.Operation) {
	l.t.Helper()
	for _, op := range all {
		last, err := c.WaitOperation(ctx, op.ID, nil)
		if err == nil {
			err = last.Err()
		}
		if err == nil {
			continue
		}
		log, _ := c.OperationLog(ctx, op.ID, 0)
		for _, line := range log.Items {
			l.t.Logf("%s %s %s: %s", op.Subject(), line.At.Format("05.000"), line.Step, line.Text)
		}
		l.t.Errorf("%s: %v", op.Subject(), err)
	}
}

// written looks for a second hand on a disk: an image is written once, only to the disk that was chosen.
func (l *lab) written() {
	l.t.Helper()
	for _, m := range l.machines {
		for i, d := range m.Disks {
			if w := d.Written(); i == 0 && w > 3*world.ImageSize/2 || i > 0 && w > 0 {
				l.t.Errorf("%s: %d MB were written to disk %s for an image of %d MB", m.Name, w>>20, d.Name, world.ImageSize>>20)
			}
		}
	}
}

// etcd asks every control plane by itself who is a member, which differs after a second bootstrap.
func (l *lab) etcd(ctx context.Context, c *client.Client) {
	l.t.Helper()
	planes := l.machines[:min(3, len(l.machines))]
	var first []string
	for _, m := range planes {
		node := l.talos(ctx, c, m)
		// A joining member has no name until it started, and becomes a voter some seconds after its node is Ready.
		eventually(l.t, 20*time.Second, m.Name+" knows all members of etcd", func() bool {
			r, err := node.EtcdMemberList(ctx, &machine.EtcdMemberListRequest{})
			if err != nil || len(r.GetMessages()) != 1 || len(r.GetMessages()[0].GetMembers()) != len(planes) {
				return false
			}
			var ids []string
			for _, one := range r.GetMessages()[0].GetMembers() {
				if one.GetHostname() == "" {
					return false
				}
				ids = append(ids, fmt.Sprintf("%x %s", one.GetId(), one.GetHostname()))
			}
			slices.Sort(ids)
			if first == nil {
				first = ids
			}
			if !slices.Equal(first, ids) {
				l.t.Fatalf("%s knows %v as members, another one %v: etcd is split", m.Name, ids, first)
			}
			return true
		})
	}
}

// talos is the official client for one node, with the credentials that the manager hands out.
func (l *lab) talos(ctx context.Context, c *client.Client, m *world.Machine) *talos.Client {
	l.t.Helper()
	text, err := c.Talosconfig(ctx, clusterName)
	if err != nil {
		l.t.Fatal(err)
	}
	config, err := clientconfig.FromBytes(text)
	if err != nil {
		l.t.Fatal(err)
	}
	node, err := talos.New(ctx, talos.WithConfig(config), talos.WithEndpoints(m.IPv4.String()))
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { node.Close() })
	return node
}

// insecure is the official client for a node in maintenance mode.
func insecure(ctx context.Context, t *testing.T, address string) *talos.Client {
	t.Helper()
	node, err := talos.New(ctx, talos.WithTLSConfig(&tls.Config{InsecureSkipVerify: true}), talos.WithEndpoints(address))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { node.Close() })
	return node
}
