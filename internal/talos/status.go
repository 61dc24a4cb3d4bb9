package talos

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"github.com/siderolabs/talos/pkg/machinery/resources/config"
	"github.com/siderolabs/talos/pkg/machinery/resources/hardware"
	"github.com/siderolabs/talos/pkg/machinery/resources/network"
	"github.com/siderolabs/talos/pkg/machinery/resources/runtime"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Version of a node.
type Version struct {
	Tag      string // v1.14.1
	Arch     string // amd64; "" of a Talos before 1.13 in maintenance mode
	Platform string // metal; likewise
}

// Version asks the node what it runs. In maintenance mode, a Talos before 1.13 has no such call, but the resource, since
// 1.10; before that it tells nobody, and Tag is "". Source: talos internal/app/maintenance/server.go.
func (n *Node) Version(ctx context.Context) (Version, error) {
	resp, err := n.c.Version(ctx)
	if status.Code(unwrap(err)) == codes.Unimplemented {
		return n.versionResource(ctx)
	}
	if err != nil {
		return Version{}, n.fail("version", err)
	}
	for _, m := range resp.GetMessages() {
		return Version{m.GetVersion().GetTag(), m.GetVersion().GetArch(), m.GetPlatform().GetName()}, nil
	}
	return Version{}, n.fail("version", fmt.Errorf("the answer is empty"))
}

func (n *Node) versionResource(ctx context.Context) (Version, error) {
	v, err := safe.StateGet[*runtime.Version](ctx, n.c.COSI, runtime.NewVersion().Metadata())
	switch {
	case err == nil:
		return Version{Tag: v.TypedSpec().Version}, nil
	case status.Code(unwrap(err)) == codes.PermissionDenied: // a type that it does not know
		return Version{}, nil
	}
	return Version{}, n.fail("version", err)
}

// Service of a node.
type Service struct {
	ID      string
	State   string // Running, Preparing, …
	Known   bool   // whether its health is known
	Healthy bool
	Message string // the last event's
}

// Services lists what the node runs.
func (n *Node) Services(ctx context.Context) ([]Service, error) {
	resp, err := n.c.ServiceList(ctx)
	if err != nil {
		return nil, n.fail("services", err)
	}
	var out []Service
	for _, m := range resp.GetMessages() {
		for _, s := range m.GetServices() {
			out = append(out, serviceOf(s))
		}
	}
	return out, nil
}

func serviceOf(s *machine.ServiceInfo) Service {
	out := Service{ID: s.GetId(), State: s.GetState(), Known: !s.GetHealth().GetUnknown(), Healthy: s.GetHealth().GetHealthy()}
	if events := s.GetEvents().GetEvents(); len(events) > 0 {
		out.Message = events[len(events)-1].GetMsg()
	}
	return out
}

// Identity is what tells machines apart.
type Identity struct {
	UUID     string // SMBIOS, lower case; with Talos' META override if there is one
	Hostname string
	MACs     []string // of physical links, lower case
}

// Identity reads UUID, hostname and MAC addresses; the API gives them in maintenance mode too.
func (n *Node) Identity(ctx context.Context) (Identity, error) {
	var out Identity
	info, err := safe.StateGet[*hardware.SystemInformation](ctx, n.c.COSI, resource.NewMetadata(hardware.NamespaceName, hardware.SystemInformationType, hardware.SystemInformationID, resource.VersionUndefined))
	if err != nil {
		return out, n.fail("system information", err)
	}
	out.UUID = strings.ToLower(info.TypedSpec().UUID)
	links, err := safe.StateListAll[*network.LinkStatus](ctx, n.c.COSI)
	if err != nil {
		return out, n.fail("links", err)
	}
	for l := range links.All() {
		if l.TypedSpec().Physical() {
			out.MACs = append(out.MACs, strings.ToLower(l.TypedSpec().HardwareAddr.String()))
		}
	}
	if name, err := safe.StateGet[*network.HostnameStatus](ctx, n.c.COSI, resource.NewMetadata(network.NamespaceName, network.HostnameStatusType, network.HostnameID, resource.VersionUndefined)); err == nil {
		out.Hostname = name.TypedSpec().Hostname
	}
	return out, nil
}

// MachineConfig reads the machine config that the node runs with now, secrets included; one that waits for a reboot
// is not it. Only an admin may.
func (n *Node) MachineConfig(ctx context.Context) ([]byte, error) {
	running, err := safe.StateGetByID[*config.MachineConfig](ctx, n.c.COSI, config.ActiveID)
	if err != nil {
		return nil, n.fail("machine config", err)
	}
	text, err := running.Container().Bytes()
	if err != nil {
		return nil, n.fail("machine config", err)
	}
	return text, nil
}

// Apply hands the node a machine config: in maintenance mode it boots with it, else it is applied as AUTO. The
// answer is Talos' own sentence.
func (n *Node) Apply(ctx context.Context, text []byte) (string, error) {
	resp, err := n.c.ApplyConfiguration(ctx, &machine.ApplyConfigurationRequest{Data: text, Mode: machine.ApplyConfigurationRequest_AUTO})
	if err != nil {
		return "", n.fail("apply the config", err)
	}
	for _, m := range resp.GetMessages() {
		return m.GetModeDetails(), nil
	}
	return "", nil
}

// Member of etcd.
type Member struct {
	ID       uint64
	Hostname string // empty while a learner that just joined
	Learner  bool
}

// Members lists the members of etcd as this control plane sees them. Before bootstrap the call hangs until ctx
// ends, so give it a deadline.
func (n *Node) Members(ctx context.Context) ([]Member, error) {
	resp, err := n.c.EtcdMemberList(ctx, &machine.EtcdMemberListRequest{QueryLocal: true})
	if err != nil {
		return nil, n.fail("etcd members", err)
	}
	var out []Member
	for _, m := range resp.GetMessages() {
		for _, e := range m.GetMembers() {
			out = append(out, Member{e.GetId(), e.GetHostname(), e.GetIsLearner()})
		}
	}
	return out, nil
}

// Bootstrap starts etcd of a new cluster on this node. It is for exactly one call in a cluster's life: Talos
// accepts it on a second control plane that has not joined yet, and etcd is split then. fleet.Conflict says
// that etcd has data already.
func (n *Node) Bootstrap(ctx context.Context) error {
	return n.fail("bootstrap", n.c.Bootstrap(ctx, &machine.BootstrapRequest{}))
}

// EtcdState says how etcd of this node stands, in the service's words, with a call that never hangs.
func (n *Node) EtcdState(ctx context.Context) (Service, error) {
	services, err := n.Services(ctx)
	if err != nil {
		return Service{}, err
	}
	for _, s := range services {
		if s.ID == "etcd" {
			return s, nil
		}
	}
	return Service{}, fleet.Errorf(fleet.Unavailable, "node %s has not started etcd", n.Address) // a control plane that boots answers before it does
}

// soon bounds a call that is only a look.
const soon = 3 * time.Second

// Look runs f with a deadline fit for a look at a node.
func Look(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, soon)
	defer cancel()
	return f(ctx)
}
