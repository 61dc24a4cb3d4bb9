package operation

import (
	"context"
	"errors"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/rescue"
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
	Facts       fleet.Facts // what it said of itself; zero if it was not asked
	Text        string      // one sentence for people
	Hint        string      // what to do next
}

// Probe looks at what answers at the address of a server that was added by hand, and stores the facts of a rescue
// system or of a Talos in maintenance mode, unless the server is a node. It changes nothing on the machine.
func (o *Operations) Probe(ctx context.Context, actor, ref string) (Probed, error) {
	s, err := o.Store.Server(ctx, ref)
	if err != nil {
		return Probed{}, err
	}
	if s.Provider != fleet.Manual {
		return Probed{}, fleet.Errorf(fleet.Invalid, "server %s was not added by hand: %s says where its rescue system is", s.Name, s.Provider).
			WithHint("talos-manager server rescue %s boots it and asks the machine what it is", s.Name)
	}
	p, err := o.look(ctx, s, true)
	if err != nil || p.Facts.At.IsZero() || isNode(s) {
		return p, err
	}
	if _, err := o.noteChanges(ctx, actor, s, p.Facts); err != nil {
		return p, err
	}
	return p, o.Store.SetFacts(ctx, s.ID, p.Facts)
}

// look finds out what answers at the address of a server that was added by hand; facts says whether to ask it what it
// is. An error is one of the context.
func (o *Operations) look(ctx context.Context, s fleet.Server, facts bool) (Probed, error) {
	p := o.lookSSH(ctx, s)
	if p.Found == FoundNothing {
		p = o.lookTalos(ctx, s, facts)
	}
	if !facts {
		p.Facts = fleet.Facts{}
	}
	return p, ctx.Err()
}

// lookSSH says what answers at the SSH port. A rescue system is asked for its facts: they tell that it is one.
func (o *Operations) lookSSH(ctx context.Context, s fleet.Server) Probed {
	session, err := o.open(ctx, s, s.HostKeys())
	switch {
	case errors.Is(err, rescue.ErrHostKey):
		return Probed{Found: FoundStranger, Text: err.Error(), Hint: fleet.HintOf(err)}
	case fleet.KindOf(err) == fleet.Unauthorized:
		return Probed{
			Found: FoundStranger, Text: "SSH at " + s.Address() + " does not let us in as root",
			Hint: "boot the server's rescue system and put the program's public key into /root/.ssh/authorized_keys there: talos-manager ssh-key show prints it",
		}
	case err != nil:
		return Probed{Found: FoundNothing, Text: err.Error(), Hint: fleet.HintOf(err)}
	}
	defer session.Close()
	p := Probed{Found: FoundRescue, HostKey: session.HostKey, Text: "a rescue system answers"}
	p.Facts, err = session.Facts(ctx)
	switch {
	case fleet.KindOf(err) == fleet.Refused:
		p.Found, p.Text, p.Hint = FoundInstalled, err.Error(), fleet.HintOf(err)
	case err != nil:
		p.Found, p.Text, p.Hint = FoundNothing, err.Error(), fleet.HintOf(err)
	default:
		p.Facts.At = o.Now()
	}
	return p
}

// lookTalos says what answers at the port of Talos' API.
func (o *Operations) lookTalos(ctx context.Context, s fleet.Server, facts bool) Probed {
	nothing := Probed{
		Found: FoundNothing, Text: "neither SSH nor Talos answers at " + s.Address(),
		Hint: "boot the server's rescue system with the program's public key in it (talos-manager ssh-key show prints it), or a Talos image without a config",
	}
	door := o.door(ctx, s)
	switch {
	case door.configured:
		return Probed{Found: FoundTalos, Certificate: door.pin, Text: "a Talos that has a config answers at " + s.Address(), Hint: "reset it first: talosctl reset --reboot puts it into maintenance mode"}
	case door.shut != nil:
		return nothing
	}
	p := Probed{Found: FoundMaintenance, Certificate: door.pin, Text: "a Talos in maintenance mode answers at " + s.Address()}
	if !facts {
		return p
	}
	_, said, err := o.ask(ctx, s, door.pin)
	if err != nil {
		p.Text += ", and does not say what machine it is: " + err.Error()
		return p
	}
	if p.Facts = said; said.UUID == s.NodeUUID() { // of another machine, nothing is known
		p.Facts = withOld(said, s)
	}
	return p
}
