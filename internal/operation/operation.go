// Package operation is what an operator does to machines: rescue, install, bootstrap. Each is a list of named
// steps in a file of its own, run durably by package workflow. It is the only package that touches several
// systems in one breath. Records alone are package manage's; what happens without being asked, package
// reconcile's.
//
// What it promises: a step looks before it acts, because it will run twice one day; nothing of a disk is lost
// before "write the image"; etcd of a cluster is bootstrapped once in its life.
package operation

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"net"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/imagefactory"
	"github.com/talos-manager/talos-manager/internal/manage"
	"github.com/talos-manager/talos-manager/internal/provider"
	"github.com/talos-manager/talos-manager/internal/store"
	"github.com/talos-manager/talos-manager/internal/talos"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

// Kinds of operations, as stored.
const (
	KindRescue  = "server.rescue"
	KindInstall = manage.InstallKind
	KindVSwitch = "server.vswitch"
	// KindRecoverUUID gives Talos the UUID back by which it ran before the board was exchanged.
	KindRecoverUUID = "server.recover-uuid"
	KindBootstrap   = "cluster.bootstrap"
)

// Env is what operations work with.
type Env struct {
	Store   *store.Store
	Drivers interface {
		Driver(ctx context.Context, accountID string) (provider.Driver, error)
	}
	Factory *imagefactory.Client
	// Renderer makes machine configs; the program's one.
	Renderer *manage.Renderer
	Key      ssh.Signer // of the rescue systems we boot
	Dial     func(ctx context.Context, network, addr string) (net.Conn, error)
	SSHPort  int // of rescue systems; 0 is 22
	// URL of this program as machines reach it, without a slash at the end; /config is appended.
	URL string
	// Images are plain images to write instead of the factory's, by architecture.
	Images map[fleet.Architecture]string
	// ImageCache hands images to machines; nil: they get them from their source. ViaManager has all use it.
	ImageCache ImageCache
	ViaManager bool
	// Pace divides every wait: 1 against the real world, more against a simulator whose clock runs fast.
	Pace float64
	Log  *slog.Logger
	Now  func() time.Time
}

// Operations starts operations and knows their steps.
type Operations struct {
	Env
	engine      *workflow.Engine
	kubeconfigs *keep
}

// New makes the operations; Use must be called with the engine that runs Kinds.
func New(env Env) *Operations {
	if env.Pace <= 0 {
		env.Pace = 1
	}
	if env.Now == nil {
		env.Now = time.Now
	}
	if env.Log == nil {
		env.Log = slog.New(slog.DiscardHandler)
	}
	return &Operations{Env: env, kubeconfigs: &keep{all: map[string]kept{}}}
}

// Use sets the engine.
func (o *Operations) Use(engine *workflow.Engine) { o.engine = engine }

// Kinds lists the operations for the engine.
func (o *Operations) Kinds() []workflow.Kind {
	return []workflow.Kind{o.rescueKind(), o.installKind(), o.vswitchKind(), o.recoverUUIDKind(), o.bootstrapKind()}
}

// pace scales a duration of the real world to the world we work in.
func (o *Operations) pace(d time.Duration) time.Duration {
	return time.Duration(float64(d) / o.Pace)
}

// Cancel stops an operation. What was done to the machine stays done; the log says how far it came.
func (o *Operations) Cancel(ctx context.Context, actor, id string) error {
	if err := o.engine.Cancel(ctx, id, actor); err != nil {
		return err
	}
	return o.audit(ctx, actor, "operation.cancel", "operation", id, "cancelled")
}

// Approve answers the question an operation asks.
func (o *Operations) Approve(ctx context.Context, actor, id, answer string) error {
	if err := o.engine.Answer(ctx, id, answer, actor); err != nil {
		return err
	}
	return o.audit(ctx, actor, "operation.approve", "operation", id, "answered: "+answer)
}

func (o *Operations) audit(ctx context.Context, actor, verb, subject, id, text string) error {
	return manage.Audit(ctx, o.Store, actor, verb, subject, id, text)
}

// server reads the server an operation is about, and the driver of its account.
func (o *Operations) server(ctx context.Context, run *workflow.Run) (fleet.Server, provider.Driver, error) {
	s, err := o.Store.Server(ctx, run.Operation().ServerID)
	if err != nil {
		return s, nil, err
	}
	d, err := o.Drivers.Driver(ctx, s.AccountID)
	return s, d, err
}

// node opens the Talos API of a configured server.
func (o *Operations) node(ctx context.Context, cluster *fleet.Cluster, s fleet.Server) (*talos.Node, error) {
	config, err := manage.AdminTalosconfig(cluster, []string{s.Address()})
	if err != nil {
		return nil, err
	}
	return talos.Open(ctx, config, s.Address(), o.Dial)
}

// ownNode is node for who has no use for the cluster.
func (o *Operations) ownNode(ctx context.Context, s fleet.Server) (*talos.Node, error) {
	cluster, err := o.Store.Cluster(ctx, s.Assignment.ClusterID)
	if err != nil {
		return nil, err
	}
	return o.node(ctx, &cluster, s)
}

func hash(code string) string {
	sum := sha256.Sum256([]byte(code))
	return hex.EncodeToString(sum[:])
}
