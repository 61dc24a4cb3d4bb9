// Package resources holds the COSI resources of a simulated Talos node: the state behind talosctl get, served by
// the official runtime's own server, with the definitions, rights and watches of the real one. The node says what
// it is with a View; Apply turns the difference into created, updated and destroyed resources.
//
// It runs no controllers: nothing happens here unless Apply is called. Writing through the API is refused, as on
// a real node.
package resources

import (
	"context"
	"errors"

	"github.com/cosi-project/runtime/pkg/state"
	"github.com/siderolabs/talos/pkg/machinery/role"
	"google.golang.org/grpc"
)

// Store is the COSI state of one boot of a node: a reboot starts with a new one.
type Store struct {
	state state.State
	roles func(context.Context) role.Set
}

// New makes an empty store with all namespaces and definitions. Roles tells who calls.
func New(roles func(context.Context) role.Set) (*Store, error) {
	return &Store{roles: roles}, nil
}

// Register serves cosi.resource.State.
func (s *Store) Register(r grpc.ServiceRegistrar) {}

// State gives the state without access checks, for the node's own reading and waiting.
func (s *Store) State() state.State { return s.state }

// Apply makes the resources say what v says. Resources it does not know are left alone.
func (s *Store) Apply(ctx context.Context, v View) error { return errors.ErrUnsupported }
