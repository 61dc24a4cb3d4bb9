package operation

import (
	"context"
	"crypto/rand"
	"net/netip"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig"
	"github.com/talos-manager/talos-manager/internal/rescue"
	"github.com/talos-manager/talos-manager/internal/store"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

// writeBootData gives the machine a one-time code, and us its hash. A second run makes a new code, so that no
// half-written one is ever valid.
func (o *Operations) writeBootData(ctx context.Context, run *workflow.Run) error {
	s, _, err := o.server(ctx, run)
	if err != nil {
		return err
	}
	var p plan
	if _, err := run.Get(planKey, &p); err != nil {
		return err
	}
	_, session, _, err := o.inRescue(ctx, run, s, p) // booted once more, its disks may have other names
	if err != nil {
		return err
	}
	defer session.Close()
	code := rand.Text()
	if way, err := o.delivery(run); err != nil {
		return err
	} else if way == fleet.Push {
		return o.pushData(ctx, run, session, s, p)
	}
	codeless, err := o.bootData(ctx, run, session, s, p, code)
	if err != nil {
		return err
	}
	return o.armCode(ctx, run, s, code, codeless)
}

// armCode lets the machine that brings the code and its UUID fetch the config. Of one whose image keeps it from bringing
// a code (codeless), the UUID and the server's own address must do.
func (o *Operations) armCode(ctx context.Context, run *workflow.Run, s fleet.Server, code string, codeless bool) error {
	_, err := o.Store.Arm(ctx, store.Arm{
		ID: fleet.NewID(), ServerID: s.ID, OperationID: run.ID(), CodeHash: hash(code), UUID: s.NodeUUID(), NoCode: codeless,
		ArmedAt: o.Now(), ExpiresAt: o.Now().Add(window),
	})
	return err
}

// bootData writes to META what the machine's first boot reads, and gives a plain image its kernel argument. Images of
// the factory have it from their schematic. codeless: the image has our address sealed, as the Rails application wanted it.
func (o *Operations) bootData(ctx context.Context, run *workflow.Run, session *rescue.Session, s fleet.Server, p plan, code string) (codeless bool, err error) {
	values, err := o.bootValues(ctx, run, s)
	if err != nil {
		return false, err
	}
	values[rescue.MetaDownloadURLCode] = code
	meta, err := session.WriteMeta(ctx, p.Disk, values)
	if err != nil {
		return false, err
	}
	run.Log(ctx, "META holds %s", meta)
	if !p.Plain {
		run.Log(ctx, "the schematic names %s", o.URL)
		return false, nil
	}
	image := rescue.Image{Disk: p.Disk, Architecture: s.Architecture, Firmware: p.Firmware, Codeless: "talos.config=" + o.URL + "/config?uuid="}
	argument, err := session.AddKernelArgument(ctx, image, "talos.config="+o.configURL())
	if err != nil {
		return false, err
	}
	run.Log(ctx, "kernel argument talos.config is in %s", argument.Where)
	if argument.Codeless {
		run.Warn(ctx, "the image has talos.config of its own, without a one-time code: the machine's UUID and its own address must do")
	}
	return argument.Codeless, nil
}

// bootValues are what META holds for the machine besides the one-time code, whichever way it boots.
func (o *Operations) bootValues(ctx context.Context, run *workflow.Run, s fleet.Server) (rescue.Meta, error) {
	var options InstallOptions
	if err := run.Input(&options); err != nil {
		return nil, err
	}
	return o.bootValuesFor(ctx, s, options)
}

func (o *Operations) bootValuesFor(ctx context.Context, s fleet.Server, options InstallOptions) (rescue.Meta, error) {
	values := rescue.Meta{}
	if s.UUIDOverride != "" {
		values[rescue.MetaUUIDOverride] = s.UUIDOverride
	}
	if !options.StaticNetwork {
		return values, nil
	}
	c, err := o.Store.Cluster(ctx, s.Assignment.ClusterID)
	if err != nil {
		return nil, err
	}
	if machineconfig.Later("v1.9.0", c.TalosVersion) { // it does not know a link by its enx… name
		return nil, fleet.Errorf(fleet.Refused, "Talos %s of cluster %s cannot take a static network for server %s from META: Talos before v1.9 does not find the network card by its MAC address", c.TalosVersion, c.Name, s.Name).
			WithHint("install a later Talos, or have a DHCP server answer the machine")
	}
	n, err := o.staticNetwork(ctx, s)
	if err != nil {
		return nil, err
	}
	values[rescue.MetaNetworkConfig], err = n.YAML()
	return values, err
}

// staticNetwork is what the rescue system has, or the private network of a server that has no public address.
func (o *Operations) staticNetwork(ctx context.Context, s fleet.Server) (rescue.Network, error) {
	if s.IPv4 == "" && s.IPv6Net == "" && s.Assignment.PrivateIP != "" {
		return o.privateNetwork(ctx, s)
	}
	n, err := rescue.StaticNetwork(s.Name, s.Facts, s.Provider != fleet.Manual)
	n.Hostname = s.Hostname()
	return n, err
}

// privateNetwork is the VLAN of its cluster's vSwitch on the interface that is up. The network's first address is its
// gateway: so it is where a vSwitch is coupled with a Cloud network, and elsewhere by custom.
func (o *Operations) privateNetwork(ctx context.Context, s fleet.Server) (rescue.Network, error) {
	c, err := o.Store.Cluster(ctx, s.Assignment.ClusterID)
	if err != nil {
		return rescue.Network{}, err
	}
	ip, ipErr := netip.ParseAddr(s.Assignment.PrivateIP)
	private, netErr := netip.ParsePrefix(c.PrivateNetwork)
	if c.VSwitchID == "" || ipErr != nil || netErr != nil {
		return rescue.Network{}, fleet.Errorf(fleet.Refused, "server %s has no public address, and cluster %s no vSwitch with a private network to reach it by", s.Name, c.Name).
			WithHint("give the cluster its vSwitch and private network, and the server a private IP")
	}
	v, err := o.Store.VSwitch(ctx, c.VSwitchID)
	if err != nil {
		return rescue.Network{}, err
	}
	n := rescue.Network{Hostname: s.Hostname(), VLAN: &rescue.VLAN{
		ID: v.VLAN, Address: netip.PrefixFrom(ip, private.Bits()), Gateway: private.Masked().Addr().Next(),
	}}
	for _, nic := range s.Facts.NICs {
		if n.MAC == "" || nic.Up {
			n.MAC = nic.MAC
		}
	}
	return n, n.Check(s.Name)
}
