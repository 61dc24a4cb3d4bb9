package operation

import (
	"context"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Found is what answers at a server's address.
type Found string

// What can answer.
const (
	FoundNothing     Found = "nothing"     // neither SSH nor Talos answers
	FoundRescue      Found = "rescue"      // a rescue system that lets us in
	FoundInstalled   Found = "installed"   // SSH lets us in, but its system runs from a disk: nothing is done to it
	FoundStranger    Found = "stranger"    // SSH answers, and does not let us in
	FoundMaintenance Found = "maintenance" // Talos in maintenance mode
	FoundTalos       Found = "talos"       // a Talos that has a config
)

// Probed is what a look at a server found.
type Probed struct {
	Found   Found
	HostKey string // SHA-256 fingerprint of the SSH host key that answered, "" if none
	// Certificate is the fingerprint of the Talos certificate that answered, "" if none.
	Certificate string
	Facts       fleet.Facts // what it said of itself, and was stored; zero if it was not asked
	Text        string      // one sentence for people
	Hint        string      // what to do next
}

// Probe looks at what answers at a server's address, and stores the facts of a rescue system and of a Talos in
// maintenance mode. It changes nothing on the machine.
func (o *Operations) Probe(ctx context.Context, ref string) (Probed, error) {
	s, err := o.Store.Server(ctx, ref)
	if err != nil {
		return Probed{}, err
	}
	return o.probe(ctx, s)
}
