// Package providertest is the contract of package provider as tests: Driver runs it against a driver and a
// simulated provider, Budget against an implementation of provider.Budget. It knows no protocol; the tests of
// each driver tell it how to make an account and how to make the provider fail.
package providertest

import (
	"crypto/ed25519"
	"crypto/rand"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/talos-manager/talos-manager/internal/provider"
)

// Fault is a way in which the provider fails.
type Fault int

// The faults.
const (
	Outage       Fault = iota // every call: 503
	Broken                    // every call: 500
	Malformed                 // every answer is not JSON
	Truncated                 // every answer breaks off
	Dropped                   // every connection breaks
	SecondAnswer              // what List asks for second fails
	Busy                      // arming rescue is refused for a reason that passes
	RateLimited               // the next call is refused for the rate limit
	Hanging                   // every answer takes minutes
)

// Account is one account at a simulated provider, with machines that are switched on and run something. The
// second server, if there is one, has no IPv4; the third is an arm64 one.
type Account struct {
	Servers []string // provider ids
	// Driver makes a driver with the right credentials and short waits; a nil budget is one of its own.
	Driver func(provider.Budget) provider.Driver
	// WrongLogin makes one with wrong credentials.
	WrongLogin func() provider.Driver
	// Fail makes so many calls fail, -1 all.
	Fail func(f Fault, times int)
	// Requests counts the calls that reached the provider.
	Requests func() int
	// Keys counts the SSH keys of the account, TakeName gives a name to somebody else's key.
	Keys     func() int
	TakeName func(name string, key ssh.PublicKey)
	// PowerOff cuts a server's power.
	PowerOff func(id string)
	// Rescue tells of the rescue system that runs on a server; Running is false if none does.
	Rescue func(id string) Rescue
}

// Rescue is a rescue system that runs.
type Rescue struct {
	Running  bool
	Keys     []ssh.PublicKey // may log in
	HostKeys []string        // SHA256:…
}

// Provider is what a driver is tried on.
type Provider struct {
	Open     func(t *testing.T, servers int) Account
	HostKeys bool // the rescue system's host keys are published
}

// NewKey makes a key pair and gives its public half.
func NewKey(t *testing.T) ssh.PublicKey {
	t.Helper()
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// eventually polls until it is true, for ten seconds.
func eventually(t *testing.T, what string, check func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(10 * time.Second); !check(); {
		select {
		case <-end:
			t.Fatalf("waited 10 s for %s", what)
		case <-tick.C:
		}
	}
}
