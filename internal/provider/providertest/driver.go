package providertest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/provider"
)

// Driver proves the contract of provider.Driver.
func Driver(t *testing.T, p Provider) {
	for _, c := range []struct {
		promise string
		test    func(*testing.T, Provider)
	}{
		{"good credentials pass the check", checkGood},
		{"wrong credentials are named, with what to do", checkWrong},
		{"an account without servers lists none", listNone},
		{"a listing of 120 servers is complete", listMany},
		{"a listing that fails half way gives nothing", listHalf},
		{"outages are unavailable, never an empty listing", outages},
		{"a refusal for the rate limit stops every driver of the account", rateLimited},
		{"a used up budget makes no call", budgetUsedUp},
		{"a server is read afresh", readServer},
		{"what is no server is said so", noServer},
		{"rename", rename},
		{"our key is uploaded once", keyOnce},
		{"our key is uploaded though its name is taken", keyNameTaken},
		{"arm and reset boot the rescue system with our key", armAndReset},
		{"arm replaces the activation of somebody else", armReplaces},
		{"arm outlives a refusal that passes", armBusy},
		{"arm gives up on a refusal that stays", armBusyForever},
		{"the resets of a server are named, mildest first, and each of them boots it", eachReset},
		{"a server that is off is offered power alone", resetOff},
		{"host keys are those of the boot that was asked for", hostKeys},
		{"an ended context ends a call", ended},
	} {
		t.Run(c.promise, func(t *testing.T) { c.test(t, p) })
	}
}

func checkGood(t *testing.T, p Provider) {
	must(t, p.Open(t, 0).Driver(nil).Check(t.Context()))
}

func checkWrong(t *testing.T, p Provider) {
	d := p.Open(t, 1).WrongLogin()
	wantKind(t, d.Check(t.Context()), fleet.Unauthorized)
	l, err := d.List(t.Context())
	wantKind(t, err, fleet.Unauthorized)
	if fleet.HintOf(err) == "" {
		t.Errorf("%v has no hint", err)
	}
	if len(l.Servers) != 0 {
		t.Errorf("listed %d servers", len(l.Servers))
	}
}

func listNone(t *testing.T, p Provider) {
	l, err := p.Open(t, 0).Driver(nil).List(t.Context())
	must(t, err)
	if len(l.Servers) != 0 {
		t.Fatalf("listed %d servers", len(l.Servers))
	}
}

func listMany(t *testing.T, p Provider) {
	a := p.Open(t, 120)
	l, err := a.Driver(nil).List(t.Context())
	must(t, err)
	var ids []string
	for _, s := range l.Servers {
		ids = append(ids, s.ProviderID)
		if s.Name == "" || s.Product == "" || s.Location == "" || s.IPv6Net == "" || s.Status == "" || s.Locked {
			t.Errorf("server %s lacks something: %+v", s.ProviderID, s)
		}
		second, third := s.ProviderID == a.Servers[1], s.ProviderID == a.Servers[2]
		if (s.IPv4 == "") != second || (s.Architecture == fleet.ARM64) != third {
			t.Errorf("server %s: IPv4 %q, architecture %s", s.ProviderID, s.IPv4, s.Architecture)
		}
	}
	slices.Sort(ids)
	if want := slices.Sorted(slices.Values(a.Servers)); !slices.Equal(ids, want) {
		t.Fatalf("listed %d servers %v, want %v", len(ids), ids, want)
	}
}

func listHalf(t *testing.T, p Provider) {
	a := p.Open(t, 60)
	a.Fail(SecondAnswer, -1)
	l, err := a.Driver(nil).List(t.Context())
	if err == nil || len(l.Servers) != 0 {
		t.Fatalf("listed %d servers, error %v", len(l.Servers), err)
	}
}

func outages(t *testing.T, p Provider) {
	for _, c := range []struct {
		why   string
		fault Fault
	}{
		{"maintenance", Outage},
		{"internal error", Broken},
		{"not JSON", Malformed},
		{"half an answer", Truncated},
		{"no answer", Dropped},
	} {
		t.Run(c.why, func(t *testing.T) {
			a := p.Open(t, 1)
			d := a.Driver(nil)
			a.Fail(c.fault, -1)
			l, err := d.List(t.Context())
			wantKind(t, err, fleet.Unavailable)
			if len(l.Servers) != 0 || fleet.HintOf(err) == "" {
				t.Errorf("listed %d servers, hint %q", len(l.Servers), fleet.HintOf(err))
			}
			_, err = d.Server(t.Context(), a.Servers[0])
			wantKind(t, err, fleet.Unavailable)
			wantKind(t, d.Check(t.Context()), fleet.Unavailable)
			wantKind(t, d.Reset(t.Context(), a.Servers[0], provider.HardReset), fleet.Unavailable)
		})
	}
}

func rateLimited(t *testing.T, p Provider) {
	a, budget := p.Open(t, 1), &provider.MemoryBudget{}
	a.Fail(RateLimited, 1)
	_, err := a.Driver(budget).List(t.Context())
	wantKind(t, err, fleet.Exhausted)
	if until := provider.ExhaustedUntil(err); until.Before(time.Now()) || time.Until(until) > time.Hour {
		t.Errorf("goes on at %s", until)
	}
	before := a.Requests()
	_, err = a.Driver(budget).List(t.Context())
	wantKind(t, err, fleet.Exhausted)
	if n := a.Requests() - before; n != 0 {
		t.Errorf("%d calls after the refusal", n)
	}
}

// closed is a budget with nothing in it.
type closed struct{ until time.Time }

func (c closed) Take(context.Context, string, provider.Limit) (time.Time, error) { return c.until, nil }
func (closed) Exhaust(context.Context, string, time.Time) error                  { return nil }

func budgetUsedUp(t *testing.T, p Provider) {
	a := p.Open(t, 1)
	d, until := a.Driver(closed{time.Now().Add(time.Minute)}), time.Now().Add(time.Minute)
	_, err := d.ArmRescue(t.Context(), a.Servers[0], NewKey(t))
	wantKind(t, err, fleet.Exhausted)
	if got := provider.ExhaustedUntil(err); got.Sub(until).Abs() > time.Second {
		t.Errorf("goes on at %s, want %s", got, until)
	}
	wantKind(t, d.Reset(t.Context(), a.Servers[0], provider.HardReset), fleet.Exhausted)
	if a.Requests() != 0 {
		t.Errorf("%d calls", a.Requests())
	}
}

func readServer(t *testing.T, p Provider) {
	a := p.Open(t, 2)
	d := a.Driver(nil)
	s, err := d.Server(t.Context(), a.Servers[0])
	must(t, err)
	if s.ProviderID != a.Servers[0] || s.Power != fleet.PowerOn || s.Rescue || s.IPv4 == "" {
		t.Errorf("got %+v", s)
	}
	a.PowerOff(a.Servers[0])
	power, err := d.Power(t.Context(), a.Servers[0])
	must(t, err)
	if power != fleet.PowerOff {
		t.Errorf("power is %s after a power cut", power)
	}
}

func noServer(t *testing.T, p Provider) {
	d := p.Open(t, 1).Driver(nil)
	for _, c := range []struct {
		why, id string
		kind    fleet.Kind
	}{
		{"another account's, or gone", "99999999", fleet.NotFound},
		{"not a number", "db-1", fleet.Invalid},
		{"part of a path", "1/boot", fleet.Invalid},
		{"empty", "", fleet.Invalid},
	} {
		t.Run(c.why, func(t *testing.T) {
			_, err := d.Server(t.Context(), c.id)
			wantKind(t, err, c.kind)
			wantKind(t, d.Reset(t.Context(), c.id, provider.HardReset), c.kind)
			wantKind(t, d.Rename(t.Context(), c.id, "x"), c.kind)
			_, err = d.ArmRescue(t.Context(), c.id, NewKey(t))
			wantKind(t, err, c.kind)
		})
	}
}

func rename(t *testing.T, p Provider) {
	a := p.Open(t, 1)
	d := a.Driver(nil)
	must(t, d.Rename(t.Context(), a.Servers[0], "control-plane-1"))
	s, err := d.Server(t.Context(), a.Servers[0])
	must(t, err)
	if s.Name != "control-plane-1" {
		t.Errorf("the name is %q", s.Name)
	}
}

func keyOnce(t *testing.T, p Provider) {
	a, key := p.Open(t, 0), NewKey(t)
	d := a.Driver(nil)
	must(t, d.EnsureKey(t.Context(), provider.KeyName, key))
	must(t, d.EnsureKey(t.Context(), provider.KeyName, key))
	if a.Keys() != 1 {
		t.Errorf("the account has %d keys", a.Keys())
	}
	var all sync.WaitGroup
	other := NewKey(t)
	for range 4 {
		all.Go(func() {
			if err := a.Driver(nil).EnsureKey(t.Context(), "other", other); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if a.Keys() != 2 {
		t.Errorf("the account has %d keys", a.Keys())
	}
}

func keyNameTaken(t *testing.T, p Provider) {
	a, key := p.Open(t, 1), NewKey(t)
	a.TakeName(provider.KeyName, NewKey(t))
	d := a.Driver(nil)
	must(t, d.EnsureKey(t.Context(), provider.KeyName, key))
	must(t, d.EnsureKey(t.Context(), provider.KeyName, key))
	if a.Keys() != 2 {
		t.Errorf("the account has %d keys", a.Keys())
	}
	arm(t, d, a.Servers[0], key)
}

func armAndReset(t *testing.T, p Provider) {
	a, key := p.Open(t, 2), NewKey(t)
	d, id := a.Driver(nil), a.Servers[0]
	arm(t, d, id, key) // the account has no key yet
	s, err := d.Server(t.Context(), id)
	must(t, err)
	if !s.Rescue || a.Rescue(id).Running {
		t.Fatalf("armed %t, rescue runs %t, want only armed", s.Rescue, a.Rescue(id).Running)
	}
	must(t, d.Reset(t.Context(), id, provider.HardReset))
	awaitRescue(t, a, id, key)
	s, err = d.Server(t.Context(), id)
	must(t, err)
	if s.Rescue {
		t.Error("still armed after the boot")
	}
	if a.Rescue(a.Servers[1]).Running {
		t.Error("another server is in rescue")
	}
	arm(t, d, id, key) // again, from within rescue
}

func armReplaces(t *testing.T, p Provider) {
	a, ours := p.Open(t, 1), NewKey(t)
	d, id := a.Driver(nil), a.Servers[0]
	if replaced := arm(t, d, id, NewKey(t)); replaced != "" {
		t.Errorf("nothing was armed, and it says that it replaced %s", replaced)
	}
	must(t, d.EnsureKey(t.Context(), "ours", ours))
	if replaced := arm(t, d, id, ours); replaced == "" {
		t.Error("it does not say that it replaced somebody else's")
	}
	must(t, d.Reset(t.Context(), id, provider.HardReset))
	awaitRescue(t, a, id, ours)
}

func armBusy(t *testing.T, p Provider) {
	a, key := p.Open(t, 1), NewKey(t)
	d := a.Driver(nil)
	must(t, d.EnsureKey(t.Context(), provider.KeyName, key))
	a.Fail(Busy, 2)
	arm(t, d, a.Servers[0], key)
}

func armBusyForever(t *testing.T, p Provider) {
	a, key := p.Open(t, 1), NewKey(t)
	d := a.Driver(nil)
	must(t, d.EnsureKey(t.Context(), provider.KeyName, key))
	a.Fail(Busy, -1)
	_, err := d.ArmRescue(t.Context(), a.Servers[0], key)
	wantKind(t, err, fleet.Conflict, fleet.Unavailable)
}

func eachReset(t *testing.T, p Provider) {
	a, key := p.Open(t, 1), NewKey(t)
	d, id := a.Driver(nil), a.Servers[0]
	offered, err := d.Resets(t.Context(), id)
	must(t, err)
	order := []provider.Reset{provider.SoftReset, provider.HardReset, provider.PowerCycle}
	if len(offered) == 0 || !slices.IsSortedFunc(offered, func(a, b provider.Reset) int { return slices.Index(order, a) - slices.Index(order, b) }) {
		t.Fatalf("offered are %v", offered)
	}
	for _, kind := range offered {
		if kind == provider.SoftReset { // what runs here may ignore it: the order must be taken
			must(t, d.Reset(t.Context(), id, kind))
			continue
		}
		arm(t, d, id, key)
		must(t, d.Reset(t.Context(), id, kind))
		awaitRescue(t, a, id, key)
	}
	wantKind(t, d.Reset(t.Context(), id, "no such reset"), fleet.Invalid, fleet.Conflict)
	wantKind(t, d.Reset(t.Context(), "99999999", offered[0]), fleet.NotFound)
	_, err = d.Resets(t.Context(), "99999999")
	wantKind(t, err, fleet.NotFound)
}

func resetOff(t *testing.T, p Provider) {
	a := p.Open(t, 1)
	d, id := a.Driver(nil), a.Servers[0]
	a.PowerOff(id)
	offered, err := d.Resets(t.Context(), id)
	must(t, err)
	if !slices.Equal(offered, []provider.Reset{provider.PowerOn}) {
		t.Fatalf("offered are %v", offered)
	}
	must(t, d.Reset(t.Context(), id, provider.PowerOn))
	eventually(t, "power", func() bool {
		power, err := d.Power(t.Context(), id)
		must(t, err)
		return power == fleet.PowerOn
	})
}

func hostKeys(t *testing.T, p Provider) {
	a, key := p.Open(t, 1), NewKey(t)
	d, id := a.Driver(nil), a.Servers[0]
	if !p.HostKeys {
		if _, err := d.RescueHostKeys(t.Context(), id, time.Now()); !errors.Is(err, provider.ErrNoHostKeys) {
			t.Fatalf("got %v", err)
		}
		return
	}
	none := func(why string, since time.Time) {
		t.Helper()
		if keys, err := d.RescueHostKeys(t.Context(), id, since); err != nil || len(keys) != 0 {
			t.Errorf("%s: got %v, %v", why, keys, err)
		}
	}
	start := time.Now()
	none("never rescued", start)
	arm(t, d, id, key)
	none("armed only", start)
	must(t, d.Reset(t.Context(), id, provider.HardReset))
	awaitRescue(t, a, id, key)
	keys, err := d.RescueHostKeys(t.Context(), id, start)
	must(t, err)
	if want := a.Rescue(id).HostKeys; len(keys) == 0 || !slices.Equal(slices.Sorted(slices.Values(keys)), slices.Sorted(slices.Values(want))) {
		t.Errorf("published %v, presented %v", keys, want)
	}
	none("keys of an earlier boot", time.Now().Add(time.Minute))
	arm(t, d, id, key)
	none("armed again", start)
}

func ended(t *testing.T, p Provider) {
	a := p.Open(t, 1)
	d := a.Driver(nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.List(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("before the call: %v", err)
	}
	a.Fail(Hanging, -1)
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	err := d.Reset(ctx, a.Servers[0], provider.HardReset)
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 5*time.Second {
		t.Errorf("during the call: %v after %s", err, time.Since(start))
	}
}

// awaitRescue waits until the rescue system runs and lets this key in, and only it.
func awaitRescue(t *testing.T, a Account, id string, key ssh.PublicKey) {
	t.Helper()
	eventually(t, "the rescue system", func() bool { return a.Rescue(id).Running })
	keys := a.Rescue(id).Keys
	if len(keys) != 1 || string(keys[0].Marshal()) != string(key.Marshal()) {
		t.Fatalf("%d keys may log in, want ours only", len(keys))
	}
}

// arm arms the rescue system, and gives what it replaced.
func arm(t *testing.T, d provider.Driver, id string, key ssh.PublicKey) string {
	t.Helper()
	replaced, err := d.ArmRescue(t.Context(), id, key)
	must(t, err)
	return replaced
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantKind(t *testing.T, err error, kinds ...fleet.Kind) {
	t.Helper()
	if err == nil || !slices.Contains(kinds, fleet.KindOf(err)) {
		t.Errorf("got %v (%s), want an error of kind %v", err, fleet.KindOf(err), kinds)
	}
}
