package resources

import (
	"context"
	"fmt"
	"reflect"

	"github.com/cosi-project/runtime/pkg/resource"
	"github.com/cosi-project/runtime/pkg/resource/typed"
	"github.com/cosi-project/runtime/pkg/state"
	"github.com/siderolabs/talos/pkg/machinery/config"
)

// owned is a resource with the controller that a real node says it is from.
type owned struct {
	resource.Resource
	owner    string
	provider config.Provider // of a machine config
}

func (o owned) pointer() pointer {
	m := o.Metadata()
	return pointer{m.Namespace(), m.Type(), m.ID()}
}

// wanted collects the resources that should exist, in the order in which they are created.
type wanted struct{ all []owned }

func (w *wanted) add(owner string, r resource.Resource) {
	w.all = append(w.all, owned{Resource: r, owner: owner})
}

// with fills the spec of a new resource.
func with[T typed.DeepCopyable[T], E typed.Extension](r *typed.Resource[T, E], spec T) *typed.Resource[T, E] {
	*r.TypedSpec() = spec
	return r
}

// Apply makes the resources say what v says. Resources it does not know are left alone.
func (s *Store) Apply(ctx context.Context, v View) error {
	want := v.resources()
	s.mu.Lock()
	defer s.mu.Unlock()
	keep := make(map[pointer]bool, len(want.all))
	for _, o := range want.all {
		keep[o.pointer()] = true
		if err := s.put(ctx, o); err != nil {
			return fmt.Errorf("%s(%s): %w", o.Metadata().Type(), o.Metadata().ID(), err)
		}
	}
	for p, o := range s.applied {
		if keep[p] {
			continue
		}
		if err := s.state.Destroy(ctx, o.Metadata(), state.WithDestroyOwner(o.owner)); err != nil {
			return fmt.Errorf("%s(%s): %w", p.kind, p.id, err)
		}
		delete(s.applied, p)
	}
	return nil
}

// put creates a resource, or updates it if it differs from what was applied before.
func (s *Store) put(ctx context.Context, o owned) error {
	old, exists := s.applied[o.pointer()]
	if exists && same(old, o) {
		return nil
	}
	if exists {
		o.Metadata().SetVersion(old.Metadata().Version())
		if err := o.Metadata().SetOwner(o.owner); err != nil {
			return err
		}
		if err := s.state.Update(ctx, o.Resource, state.WithUpdateOwner(o.owner)); err != nil {
			return err
		}
	} else if err := s.state.Create(ctx, o.Resource, state.WithCreateOwner(o.owner)); err != nil {
		return err
	}
	o.Resource = o.DeepCopy() // the view's maps and lists belong to the node
	s.applied[o.pointer()] = o
	return nil
}

// same compares what a watcher would see. A machine config is another one when its provider is, whatever its
// text: a real node bumps the version of both resources when an unchanged config is applied.
func same(a, b owned) bool {
	if a.provider != nil || b.provider != nil {
		return a.provider == b.provider
	}
	return a.Metadata().Labels().Equal(*b.Metadata().Labels()) && reflect.DeepEqual(a.Spec(), b.Spec())
}
