// Package resources holds the COSI resources of a simulated Talos node: the state behind talosctl get, served by
// the official runtime's own server, with the definitions, rights and watches of the real one. The node says what
// it is with a View; Apply turns the difference into created, updated and destroyed resources.
//
// It runs no controllers: nothing happens here unless Apply is called. Writing through the API is refused, as on
// a real node.
package resources

import (
	"context"
	"fmt"
	"math"
	"strings"
	"sync"

	"github.com/cosi-project/runtime/api/v1alpha1"
	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/resource/meta"
	"github.com/cosi-project/runtime/pkg/safe"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/cosi-project/runtime/pkg/state/impl/inmem"
	"github.com/cosi-project/runtime/pkg/state/impl/namespaced"
	"github.com/cosi-project/runtime/pkg/state/protobuf/server"
	"github.com/siderolabs/talos/pkg/machinery/resources/block"
	"github.com/siderolabs/talos/pkg/machinery/resources/runtime"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Store is the COSI state of one boot of a node: a reboot starts with a new one.
type Store struct {
	state state.State
	roles func(context.Context) role.Set

	mu      sync.Mutex
	applied map[pointer]owned // what Apply made and did not destroy
}

// pointer names a resource.
type pointer struct {
	namespace resource.Namespace
	kind      resource.Type
	id        resource.ID
}

// New makes an empty store with all namespaces and definitions. Roles tells who calls.
func New(roles func(context.Context) role.Set) (*Store, error) {
	// Depths of Talos' own state (internal/app/machined/pkg/runtime/v1alpha2): enough history for watches that
	// resume, little memory for types that never change.
	build := inmem.NewStateWithOptions(inmem.WithHistoryMaxCapacity(1024), inmem.WithHistoryInitialCapacity(8), inmem.WithHistoryGap(4))
	s := &Store{
		state:   state.WrapCore(namespaced.NewState(func(ns resource.Namespace) state.CoreState { return build(ns) })),
		roles:   roles,
		applied: map[pointer]owned{},
	}
	if err := define(context.Background(), s.state); err != nil {
		return nil, fmt.Errorf("define resources: %w", err)
	}
	return s, nil
}

// Register serves cosi.resource.State.
func (s *Store) Register(r grpc.ServiceRegistrar) {
	v1alpha1.RegisterStateServer(r, server.NewState(state.Filter(s.state, s.access)))
}

// State gives the state without access checks, for the node's own reading and waiting.
func (s *Store) State() state.State { return s.state }

// access is the rule of Talos' internal/app/resources: types must be defined, sensitive ones are for os:admin.
// Which roles may call the methods at all is checked before (package apid).
func (s *Store) access(ctx context.Context, a state.Access) error {
	definition, err := s.definition(ctx, a.ResourceType)
	if err != nil {
		return err
	}
	denied := status.Error(codes.PermissionDenied, "not authorized")
	if !a.Verb.Readonly() {
		return denied
	}
	if definition.TypedSpec().Sensitivity == meta.Sensitive && !s.roles(ctx).Includes(role.Admin) {
		return denied
	}
	_, err = safe.StateGet[*meta.Namespace](ctx, s.state,
		resource.NewMetadata(meta.NamespaceName, meta.NamespaceType, a.ResourceNamespace, resource.VersionUndefined))
	if state.IsNotFoundError(err) {
		return status.Errorf(codes.PermissionDenied, "namespace %q is not supported", a.ResourceNamespace)
	}
	return err
}

func (s *Store) definition(ctx context.Context, kind resource.Type) (*meta.ResourceDefinition, error) {
	d, err := safe.StateGet[*meta.ResourceDefinition](ctx, s.state,
		resource.NewMetadata(meta.NamespaceName, meta.ResourceDefinitionType, strings.ToLower(kind), resource.VersionUndefined))
	if state.IsNotFoundError(err) || err == nil && s.minor(ctx) < since(d.TypedSpec().Type) {
		return nil, status.Errorf(codes.PermissionDenied, "resource type %q is not supported", kind)
	}
	return d, err
}

// since gives the minor version of Talos 1 that has a type first; 0 is ever. Of all that came since 1.6 it knows what
// maintenance mode is asked for. Source: talos internal/app/machined/pkg/runtime/v1alpha2/v1alpha2_state.go.
func since(kind resource.Type) int {
	switch kind {
	case block.DiscoveredVolumeType:
		return 7
	case block.DiskType:
		return 8
	case runtime.VersionType:
		return 10
	}
	return 0
}

// minor is that of the node's version.
func (s *Store) minor(ctx context.Context) int {
	v, err := safe.StateGet[*runtime.Version](ctx, s.state, runtime.NewVersion().Metadata())
	if err != nil { // it is not up
		return math.MaxInt
	}
	var major, minor int
	if _, err := fmt.Sscanf(v.TypedSpec().Version, "v%d.%d", &major, &minor); err != nil {
		return math.MaxInt
	}
	return minor
}
