// Package provider is the contract with those who rent servers out: what a driver can do, and the budgets of
// calls that drivers share. It knows no particular provider; packages robot and hcloud do. Drivers decide
// nothing and never sit and wait for machines: they make one call, retry what is safe to retry, and return.
package provider

import (
	"context"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Driver speaks for one account. Errors are *fleet.Error: Unauthorized and Forbidden (the credentials are wrong,
// or may not do this; never retried), Exhausted (a BudgetError, see RetryAt), NotFound (no such server), Conflict
// (busy, locked: look again), Unavailable (try again), Invalid. The error of an ended context is passed on.
type Driver interface {
	// Check proves the credentials with the cheapest call, and says in its error what is wrong with them.
	Check(ctx context.Context) error
	// List reads everything the account has. It returns an error rather than a partial listing.
	List(ctx context.Context) (Listing, error)
	// Server reads one server afresh.
	Server(ctx context.Context, id string) (Server, error)
	// Rename sets a server's name at the provider. The Cloud allows a name once in a project: Conflict.
	Rename(ctx context.Context, id, name string) error
	// SetVSwitch moves a dedicated server into the vSwitch, out of all others; "" only takes it out. A move takes
	// Robot 10 to 120 s: each call makes at most one change and returns Conflict until nothing is left to do,
	// then nil. Cloud servers refuse with fleet.Invalid.
	SetVSwitch(ctx context.Context, id, vswitch string) error
	// EnsureKey uploads the public key under the name unless the account has it already, by fingerprint. If another
	// key has the name, it takes SpareKeyName.
	EnsureKey(ctx context.Context, name string, key ssh.PublicKey) error
	// ArmRescue makes the next boot enter the rescue system with our key. It does not reboot. It owns the
	// activation: what was armed before is replaced, and named in the answer unless it is certainly ours. A key that
	// the account lacks is uploaded. ErrNoPower where nothing can be armed.
	ArmRescue(ctx context.Context, id string, key ssh.PublicKey) (replaced string, err error)
	// RescueHostKeys gives the SHA-256 fingerprints ("SHA256:…", unpadded base64) of the rescue system that booted
	// at or after since. Not published yet: no keys and no error. ErrNoHostKeys where the provider never
	// publishes any.
	RescueHostKeys(ctx context.Context, id string, since time.Time) ([]string, error)
	// Power reads the power state.
	Power(ctx context.Context, id string) (fleet.Power, error)
	// Resets lists what can be ordered for the server as it stands now, mildest first: PowerOn alone if it is off,
	// nothing where only a person can restart it. Conflict while it cannot be restarted without harm: it is being
	// rebuilt, migrated, created.
	Resets(ctx context.Context, id string) ([]Reset, error)
	// Reset orders one of them. It returns when the provider has taken the order, not when anything has booted.
	// ErrNoPower where only a person can; Refused while a technician is at work on the server.
	Reset(ctx context.Context, id string, kind Reset) error
}

// Listing is everything an account has at one moment, complete.
type Listing struct {
	Servers   []Server
	VSwitches []fleet.VSwitch // ProviderID, Name, VLAN
	// NoVSwitches: the credentials may not read vSwitches, so an absent one says nothing.
	NoVSwitches bool
}

// Server as the provider describes it.
type Server struct {
	ProviderID   string
	Name         string
	Product      string
	Location     string
	Architecture fleet.Architecture
	Status       string
	Power        fleet.Power // PowerUnknown where a listing does not say
	Locked       bool
	Cancelled    bool
	IPv4         string // "" if none
	IPv6Net      string // "2001:db8::/64", "" if none
	VSwitch      string // provider id, "" if none or unknown
	Rescue       bool   // armed for the next boot; a Robot listing does not say
	CreatedAt    time.Time
}

// ErrNoHostKeys says that the provider publishes no host keys of its rescue system: trust the first contact,
// then pin.
var ErrNoHostKeys = &fleet.Error{Kind: fleet.NotFound, Text: "the provider publishes no host keys"}
