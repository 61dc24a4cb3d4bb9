package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/talos-manager/talos-manager/client"
)

func (p *program) serverCommand() *cobra.Command {
	return p.noun("server", "Rented servers: what they are, what they are to be, and making them so", "",
		p.serverList(), p.serverShow(), p.serverSync(), p.serverRename(), p.serverVSwitch(), p.serverAssign(), p.serverRescue(), p.serverInstall(), p.serverAdd(), p.serverProbe(), p.serverMove(), p.serverRemove(),
		p.serverOverrideUUID(), p.serverRecoverUUID())
}

func (p *program) serverList() *cobra.Command {
	var f client.ServerFilter
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List servers",
		Example: "  talos-manager server list --cluster prod\n  talos-manager server list --state known --search ax41 --sort=-created\n  talos-manager server list --problem uuid --location FSN1-DC8", Args: takes(),
		RunE: p.run(func(ctx context.Context, c *client.Client, _ []string) error {
			l, err := c.Servers(ctx, f)
			if err != nil {
				return err
			}
			p.none(len(l.Items), "servers", "talos-manager server sync asks the accounts")
			if err := p.show(l, func(t *table) { serverTable(t, l.Items) }); err != nil {
				return err
			}
			if more := l.Total - f.Offset - len(l.Items); more > 0 && p.output == "table" {
				p.done("%d more: --offset %d", more, f.Offset+len(l.Items))
			}
			return nil
		}),
	}
	fs := cmd.Flags()
	fs.StringVar(&f.Account, "account", "", "only servers of this account")
	fs.StringVar(&f.Cluster, "cluster", "", "only servers of this cluster")
	fs.BoolVar(&f.Unassigned, "unassigned", false, "only servers without a cluster")
	fs.StringSliceVar(&f.States, "state", nil, "only servers in these states: known, installing, configured, ready, unhealthy, broken")
	fs.StringVar(&f.Role, "role", "", "only servers with this role: controlplane or worker")
	fs.StringVar(&f.Location, "location", "", "only servers at this location: FSN1-DC8, fsn1, …")
	fs.StringVar(&f.Problem, "problem", "", "only servers with this problem: uuid (missing, a placeholder or not the only one), gone (missing or cancelled, in a cluster) or draft")
	fs.StringVar(&f.Search, "search", "", "only servers with this in name, address, product, location or number")
	fs.BoolVar(&f.Missing, "missing", false, "also servers that their accounts do not list any more")
	fs.StringVar(&f.Sort, "sort", "", "name, hostname, product, location, state, power, role, private, cores, memory, disks, seen or created; with - in front for backwards")
	fs.IntVar(&f.Limit, "limit", 0, "at most so many; 0 is all")
	fs.IntVar(&f.Offset, "offset", 0, "pass over so many")
	p.completeFlag(cmd, "account", accountNames)
	p.completeFlag(cmd, "cluster", clusterNames)
	complete(cmd, "state", "known", "installing", "configured", "ready", "unhealthy", "broken")
	complete(cmd, "problem", client.ProblemUUID, client.ProblemGone, client.ProblemDraft)
	complete(cmd, "role", client.ControlPlane, client.Worker)
	complete(cmd, "sort", "name", "hostname", "product", "location", "state", "seen", "created")
	return cmd
}

func serverTable(t *table, all []client.Server) {
	for i, s := range all {
		if i == 0 {
			t.row("NAME", "STATE", "CLUSTER", "ROLE", "ADDRESS", "PRODUCT", "LOCATION", "POWER", "ACCOUNT", "NOW")
		}
		cluster, role := "", ""
		if a := s.Assignment; a != nil {
			cluster, role = a.Cluster.Name, a.Role
		}
		t.row(s.Name, s.State, cluster, role, s.Address(), s.Product, s.Location, s.Power, s.Account.Name, now(s, t))
	}
}

// now says what is special about a server at this moment.
func now(s client.Server, t *table) string {
	switch {
	case s.Operation != nil && s.Operation.Step != "":
		return s.Operation.Step
	case s.Operation != nil:
		return s.Operation.Kind + " " + s.Operation.State
	case !s.MissingSince.IsZero():
		return "missing for " + t.age(s.MissingSince)
	case s.Cancelled:
		return "cancelled"
	case s.Locked:
		return "locked"
	}
	return ""
}

func (p *program) serverShow() *cobra.Command {
	return &cobra.Command{
		Use: "show SERVER", Short: "Show everything that is known of a server", Example: "  talos-manager server show worker-1", Args: takes("SERVER"),
		ValidArgsFunction: p.completeBy(serverNames, false),
		RunE: p.run(func(ctx context.Context, c *client.Client, args []string) error {
			s, err := c.Server(ctx, args[0])
			if err != nil {
				return err
			}
			return p.show(s, func(t *table) { describeServer(t, s) })
		}),
	}
}

func describeServer(t *table, s client.Server) {
	t.field("name", s.Name)
	t.field("id", s.ID)
	t.field("account", fmt.Sprintf("%s (%s %s)", s.Account.Name, s.Provider, s.ProviderID))
	t.field("product", strings.Join(strings.Fields(s.Product+" "+s.Location+" "+s.Architecture), ", "))
	t.field("state", s.State)
	t.field("power", s.Power)
	t.field("provider says", s.Status)
	t.field("IPv4", s.IPv4)
	t.field("IPv6", s.IPv6)
	t.field("vSwitch", name(s.VSwitch))
	t.field("locked", yes(s.Locked))
	t.field("cancelled", yes(s.Cancelled))
	t.field("seen", t.ago(s.SeenAt))
	t.field("missing since", t.ago(s.MissingSince))
	if a := s.Assignment; a != nil {
		t.field("cluster", a.Cluster.Name)
		t.field("role", a.Role)
		t.field("hostname", a.Hostname)
		t.field("config", name(a.Config))
		t.field("schematic", name(a.Schematic))
		t.field("private address", a.PrivateIP)
		t.field("install disk", a.InstallDisk)
		t.field("disk policy", a.DiskPolicy)
		t.field("EPHEMERAL disk", a.EphemeralDisk)
		t.block("patch", a.Patch)
	}
	if o := s.Operation; o != nil {
		t.field("operation", strings.TrimSpace(o.ID+" "+o.Kind+" "+o.State+" "+o.Step))
	}
	describeFacts(t, s)
}

func (p *program) serverSync() *cobra.Command {
	var account string
	cmd := &cobra.Command{
		Use: "sync", Short: "Ask the accounts now which servers they have",
		Long:    "Ask the accounts now which servers they have. Managers do so by themselves every few minutes. Nothing is ever removed\nbecause an account does not list it: it is marked as missing.",
		Example: "  talos-manager server sync\n  talos-manager server sync --account robot", Args: takes(),
		RunE: p.run(func(ctx context.Context, c *client.Client, _ []string) error {
			l := client.List[client.Synced]{Items: []client.Synced{}}
			var err error
			if account == "" {
				l, err = c.SyncServers(ctx)
			} else {
				l.Items = make([]client.Synced, 1)
				l.Items[0], err = c.SyncAccount(ctx, account)
			}
			if err != nil {
				return err
			}
			p.none(len(l.Items), "accounts", "talos-manager account add --name NAME")
			problems := []error{p.show(l, func(t *table) { syncTable(t, l.Items) })}
			for _, s := range l.Items {
				if s.Error != nil {
					problems = append(problems, s.Error)
				}
			}
			return errors.Join(problems...)
		}),
	}
	cmd.Flags().StringVar(&account, "account", "", "only this account")
	p.completeFlag(cmd, "account", accountNames)
	return cmd
}

func syncTable(t *table, all []client.Synced) {
	for i, s := range all {
		if i == 0 {
			t.row("ACCOUNT", "ADDED", "CHANGED", "BACK", "MISSING")
		}
		if s.Error != nil {
			t.row(s.Account.Name, "failed")
			continue
		}
		t.row(s.Account.Name, strconv.Itoa(len(s.Added)), strconv.Itoa(len(s.Changed)), strconv.Itoa(len(s.Back)), some(s.Missing))
	}
}

// some names a few: of what is missing one wants to know what.
func some(all []string) string {
	if len(all) == 0 {
		return "0"
	}
	return fmt.Sprintf("%d (%s)", len(all), strings.Join(all, ", "))
}

func (p *program) serverRename() *cobra.Command {
	return &cobra.Command{
		Use: "rename SERVER NAME", Short: "Rename a server at its provider", Example: "  talos-manager server rename 321321 worker-7", Args: takes("SERVER", "NAME"),
		ValidArgsFunction: p.completeBy(serverNames, false),
		RunE: p.run(func(ctx context.Context, c *client.Client, args []string) error {
			s, err := c.ChangeServer(ctx, args[0], client.ServerChange{Name: &args[1]})
			if err != nil {
				return err
			}
			p.done("server %s is now %s", args[0], s.Name)
			return p.show(s, func(*table) {})
		}),
	}
}

func (p *program) serverVSwitch() *cobra.Command {
	return &cobra.Command{
		Use: "vswitch SERVER VSWITCH", Short: "Move a dedicated server into a vSwitch, or out of all with none",
		Long:    "Move a dedicated server into a vSwitch, or out of all with none. Robot takes a minute or two for it.",
		Example: "  talos-manager vswitch list\n  talos-manager server vswitch worker-7 cg1hs5...", Args: takes("SERVER", "VSWITCH"),
		ValidArgsFunction: p.completeBy(serverNames, false),
		RunE: p.run(func(ctx context.Context, c *client.Client, args []string) error {
			id := args[1]
			if id == "none" {
				id = ""
			}
			s, err := c.ChangeServer(ctx, args[0], client.ServerChange{VSwitch: &id})
			if err != nil {
				return err
			}
			p.done("server %s: vSwitch %s", s.Name, args[1])
			return p.show(s, func(*table) {})
		}),
	}
}

func (p *program) vswitchCommand() *cobra.Command {
	return p.noun("vswitch", "Layer-2 networks of dedicated servers", "",
		&cobra.Command{
			Use: "list", Aliases: []string{"ls"}, Short: "List the vSwitches of all Robot accounts", Example: "  talos-manager vswitch list", Args: takes(),
			RunE: p.run(func(ctx context.Context, c *client.Client, _ []string) error {
				l, err := c.VSwitches(ctx)
				if err != nil {
					return err
				}
				p.none(len(l.Items), "vSwitches", "make them at https://robot.hetzner.com/vswitch, then talos-manager server sync")
				return p.show(l, func(t *table) {
					for i, v := range l.Items {
						if i == 0 {
							t.row("ID", "NAME", "VLAN", "ACCOUNT", "MISSING")
						}
						t.row(v.ID, v.Name, strconv.Itoa(v.VLAN), v.Account.Name, t.age(v.MissingSince))
					}
				})
			}),
		})
}

func (p *program) sshKeyCommand() *cobra.Command {
	return p.noun("ssh-key", "The key that opens rescue systems", "",
		&cobra.Command{
			Use: "show", Short: "Show its public half", Example: "  talos-manager ssh-key show >> ~/.ssh/authorized_keys", Args: takes(),
			RunE: p.run(func(ctx context.Context, c *client.Client, _ []string) error {
				k, err := c.SSHKey(ctx)
				if err != nil {
					return err
				}
				if p.output == "table" {
					p.done("fingerprints %s and %s", k.SHA256, k.MD5)
				}
				return p.show(k, func(t *table) { fmt.Fprintln(t.w, k.Public) })
			}),
		})
}
