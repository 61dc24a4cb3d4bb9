package providertest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/provider"
)

// Powerless proves the contract of a driver whose servers only a person can start: id is a server's, and what is in
// strangers is no id at all.
func Powerless(t *testing.T, d provider.Driver, id string, strangers ...string) {
	for _, c := range []struct {
		promise string
		test    func(*testing.T)
	}{
		{"the check passes", func(t *testing.T) { must(t, d.Check(t.Context())) }},
		{"a server is read afresh", func(t *testing.T) {
			s, err := d.Server(t.Context(), id)
			must(t, err)
			if s.ProviderID != id || s.Power != fleet.PowerUnknown || s.IPv4 == "" && s.IPv6Net == "" {
				t.Errorf("got %+v", s)
			}
		}},
		{"nobody knows whether it is on", func(t *testing.T) {
			power, err := d.Power(t.Context(), id)
			must(t, err)
			if power != fleet.PowerUnknown {
				t.Errorf("power is %s", power)
			}
		}},
		{"nothing can be ordered", func(t *testing.T) { orderNothing(t, d, id) }},
		{"no host keys are published", func(t *testing.T) {
			if _, err := d.RescueHostKeys(t.Context(), id, time.Now()); !errors.Is(err, provider.ErrNoHostKeys) {
				t.Errorf("got %v", err)
			}
		}},
		{"our key has no place, and that is no error", func(t *testing.T) { must(t, d.EnsureKey(t.Context(), provider.KeyName, NewKey(t))) }},
		{"a name is ours to give", func(t *testing.T) { must(t, d.Rename(t.Context(), id, "control-plane-1")) }},
		{"it is in no vSwitch", func(t *testing.T) { wantKind(t, d.SetVSwitch(t.Context(), id, "1"), fleet.Invalid) }},
		{"what is no server is said so", func(t *testing.T) {
			for _, stranger := range strangers {
				_, err := d.Server(t.Context(), stranger)
				wantKind(t, err, fleet.Invalid)
				wantKind(t, d.Reset(t.Context(), stranger, provider.HardReset), fleet.Invalid)
				wantKind(t, d.Rename(t.Context(), stranger, "x"), fleet.Invalid)
				_, err = d.Resets(t.Context(), stranger)
				wantKind(t, err, fleet.Invalid)
			}
		}},
		{"an ended context ends a call", func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_, list := d.List(ctx)
			for _, err := range []error{list, d.Check(ctx), d.Reset(ctx, id, provider.HardReset)} {
				if !errors.Is(err, context.Canceled) {
					t.Errorf("got %v", err)
				}
			}
		}},
	} {
		t.Run(c.promise, c.test)
	}
}

func orderNothing(t *testing.T, d provider.Driver, id string) {
	resets, err := d.Resets(t.Context(), id)
	must(t, err)
	if len(resets) != 0 {
		t.Errorf("it offers %v", resets)
	}
	_, armed := d.ArmRescue(t.Context(), id, NewKey(t))
	for doing, err := range map[string]error{"arm": armed, "reset": d.Reset(t.Context(), id, provider.HardReset)} {
		if !errors.Is(err, provider.ErrNoPower) || fleet.HintOf(err) == "" {
			t.Errorf("%s: got %v", doing, err)
		}
	}
}
