package operation

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/machineconfig"
	"github.com/talos-manager/talos-manager/internal/provider"
	"github.com/talos-manager/talos-manager/internal/rescue"
	"github.com/talos-manager/talos-manager/internal/talos"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

// A config is pushed to machines that cannot reach us, and to those that sit in maintenance mode already: Talos finds no
// config, serves its API to everybody who asks, and is handed one. So we make sure of the machine first: the certificate
// that answers is pinned, what the machine says of itself is compared with what is known of the server, and a machine
// that is another one gets nothing. /config hands out nothing to a server whose config is pushed.
//
//	nothing answers ──▶ maintenance mode ──▶ it is the server: pinned ──▶ sent ──▶ it wants the cluster's certificates
//	   restarts             another machine: refused          another certificate: refused

// delivery is the way the config of this install takes.
func (o *Operations) delivery(run *workflow.Run) (fleet.Delivery, error) {
	var options InstallOptions
	if err := run.Input(&options); err != nil {
		return "", err
	}
	var b boot
	if _, err := run.Get(bootKey, &b); err != nil {
		return "", err
	}
	if b.Maintenance != "" || options.Delivery == fleet.Push {
		return fleet.Push, nil
	}
	return fleet.Pull, nil
}

// inRescueOnly leaves out a step that works in the rescue system when a Talos in maintenance mode does instead of one.
// It installs itself by the config's install section.
func (o *Operations) inRescueOnly(do func(context.Context, *workflow.Run) error) func(context.Context, *workflow.Run) error {
	return func(ctx context.Context, run *workflow.Run) error {
		var b boot
		if _, err := run.Get(bootKey, &b); err != nil {
			return err
		}
		if b.Maintenance != "" {
			run.Log(ctx, "left to Talos: it runs in maintenance mode already")
			return nil
		}
		return do(ctx, run)
	}
}

// reachableBy refuses to have a config fetched from a program that has no address. What a server that was added by hand
// runs, and so the way, is seen later.
func (o *Operations) reachableBy(s fleet.Server, way fleet.Delivery) error {
	if s.Provider == fleet.Manual {
		return nil
	}
	return o.mayDeliver(way)
}

func (o *Operations) mayDeliver(way fleet.Delivery) error {
	if o.URL != "" || way == fleet.Push {
		return nil
	}
	return fleet.Errorf(fleet.Invalid, "machines cannot reach this program: HOST is not set").
		WithHint("set HOST to the address under which servers reach /config, as https://talos-manager.example.com. Or have the config pushed to them: talos-manager server install NAME --delivery push")
}

// pushData writes what the first boot of a machine reads that waits for its config in maintenance mode: no code, and no
// address of ours.
func (o *Operations) pushData(ctx context.Context, run *workflow.Run, session *rescue.Session, s fleet.Server, p plan) error {
	values, err := o.bootValues(ctx, run, s)
	if err != nil || len(values) == 0 {
		return err
	}
	meta, err := session.WriteMeta(ctx, p.Disk, values)
	if err != nil {
		return err
	}
	run.Log(ctx, "META holds %s", meta)
	return nil
}

// pushed is what is remembered of handing over a config.
type pushed struct {
	Seen    time.Time `json:"seen,omitzero"`    // when maintenance mode first answered
	Pin     string    `json:"pin,omitempty"`    // fingerprint of the certificate of the machine that is the server
	Sending time.Time `json:"sending,omitzero"` // just before the config was sent to it
	Sent    bool      `json:"sent,omitempty"`   // it said that it has it
}

const pushKey = "push"

// talosDoor is what answers at the port of a machine's Talos API.
type talosDoor struct {
	pin        string // fingerprint of its certificate
	configured bool   // it wants the cluster's certificates
	shut       error  // nothing answers
}

func (o *Operations) door(ctx context.Context, s fleet.Server) talosDoor {
	ctx, cancel := context.WithTimeout(ctx, max(o.pace(knock), 300*time.Millisecond))
	defer cancel()
	pin, configured, err := talos.Fingerprint(ctx, s.Address(), o.Dial)
	if configured {
		err = nil // that it ends the handshake with us is its right
	}
	return talosDoor{pin, configured, err}
}

// pushConfig hands the config to the machine, once. It looks first what became of an attempt that was cut short: once a
// machine has a config, it is out of maintenance mode.
func (o *Operations) pushConfig(ctx context.Context, run *workflow.Run, s fleet.Server, driver provider.Driver) error {
	var p pushed
	if _, err := run.Get(pushKey, &p); err != nil || p.Sent {
		return err
	}
	var b boot
	if _, err := run.Get(bootKey, &b); err != nil {
		return err
	}
	if p.Pin == "" {
		p.Pin = b.Maintenance // it was made sure of when its facts were read
	}
	door := o.door(ctx, s)
	switch {
	case !p.Sending.IsZero() && (door.configured || door.shut != nil && o.Now().Sub(p.Sending) > o.pace(pushTaken)):
		return o.wasSent(ctx, run, s, p, "it has left maintenance mode")
	case door.configured:
		return fleet.Errorf(fleet.Refused, "the machine at %s has a config already, and not from this install", s.Address()).
			WithHint("an older Talos may have booted from another disk, or another machine answers there: look at the server's screen, and wipe its other disks. Then: talos-manager operation retry %s", run.ID())
	case door.shut != nil:
		return o.notInMaintenance(ctx, run, s, driver, p)
	case p.Pin != "" && p.Pin != door.pin:
		return fleet.Errorf(fleet.Refused, "the machine at %s presents certificate %s, pinned was %s: it has booted once more, or another machine answers", s.Address(), door.pin, p.Pin).
			WithHint("it got nothing. To make sure of it anew: talos-manager operation retry %s", run.ID())
	case p.Pin == "":
		if p.Seen.IsZero() {
			p.Seen = o.Now()
			if err := run.Set(ctx, pushKey, p); err != nil {
				return err
			}
		}
		if err := o.recognise(ctx, run, s, door.pin, p.Seen); err != nil {
			return err
		}
		p.Pin = door.pin
	}
	return o.send(ctx, run, s, p)
}

const (
	pushLook = 2 * time.Second
	// pushTaken is how long nothing may answer after a config was sent until it counts as taken: Talos restarts its API,
	// within 10 s (recorded). That of a worker answers again only when a control plane gives it a certificate.
	pushTaken = time.Minute
)

// notInMaintenance waits for maintenance mode, and restarts a machine that does not come.
func (o *Operations) notInMaintenance(ctx context.Context, run *workflow.Run, s fleet.Server, driver provider.Driver, p pushed) error {
	if !p.Sending.IsZero() {
		return workflow.Wait("Talos to restart its API with the config", o.pace(pushLook))
	}
	hint := fmt.Sprintf("is port 50000 of %s open to us? Look at its screen: it should say that it runs in maintenance mode. Then: talos-manager operation retry %s", s.Address(), run.ID())
	what := "Talos on " + s.Name + " to run in maintenance mode"
	if p.Pin != "" { // it was there
		return workflow.Wait(what, o.pace(pushLook)).Within(o.since(run, p.Seen, configGiveUp)).WithHint("%s", hint)
	}
	follows, last, err := o.talosNotYet(ctx, run, s, driver, hint)
	if err != nil {
		return err
	}
	return workflow.Wait(what+follows, o.pace(pushLook)).Within(o.since(run, last, configGiveUp)).WithHint("%s", hint)
}

// recognise makes sure that the machine in maintenance mode is the server that was installed, and runs what was written.
func (o *Operations) recognise(ctx context.Context, run *workflow.Run, s fleet.Server, pin string, seen time.Time) error {
	var p plan
	if _, err := run.Get(planKey, &p); err != nil {
		return err
	}
	version, facts, err := o.ask(ctx, s, pin)
	if err != nil {
		return o.notTold(run, err, seen)
	}
	if err := unexpected(s, facts); err != nil {
		return o.notAllFound(err, seen)
	}
	if version.Tag == "" { // only Talos before 1.10 does not tell in maintenance mode
		version.Tag = "older than v1.10"
		if machineconfig.Later("v1.10.0", p.TalosVersion) {
			version.Tag = p.TalosVersion
		}
	}
	if version.Tag != p.TalosVersion {
		return otherTalos(s, version.Tag, p.TalosVersion)
	}
	run.Log(ctx, "Talos %s runs on %s in maintenance mode with certificate %s: its UUID, network cards and disks are the server's", version.Tag, s.Name, pin)
	return nil
}

func otherTalos(s fleet.Server, runs, installed string) error {
	return fleet.Errorf(fleet.Refused, "server %s runs Talos %s, installed was %s", s.Name, runs, installed).
		WithHint("another disk with an older Talos wins the boot, or the image is not what its name says: wipe the other disks in the rescue system and install again")
}

// ask has the pinned machine say what it runs and what it is.
func (o *Operations) ask(ctx context.Context, s fleet.Server, pin string) (version talos.Version, facts fleet.Facts, err error) {
	node, err := talos.OpenMaintenance(ctx, s.Address(), pin, o.Dial)
	if err != nil {
		return version, facts, err
	}
	defer node.Close()
	err = talos.Look(ctx, func(ctx context.Context) error {
		if version, err = node.Version(ctx); err != nil {
			return err
		}
		facts, err = node.Facts(ctx)
		return err
	})
	facts.At = o.Now()
	return version, facts, err
}

// notTold waits for a machine that does not answer in full yet: its hardware is found while it boots.
func (o *Operations) notTold(run *workflow.Run, err error, seen time.Time) error {
	switch fleet.KindOf(err) {
	case fleet.Unavailable, fleet.NotFound:
		return workflow.Wait("the machine to say what it is ("+err.Error()+")", o.pace(pushLook)).Within(o.since(run, seen, lateNames))
	}
	return err
}

// notAllFound believes that a machine is not the server only when it has had the time to find all that it has.
func (o *Operations) notAllFound(err error, seen time.Time) error {
	if o.Now().Sub(seen) < o.pace(lateNames) {
		return workflow.Wait("the machine to find what it has ("+err.Error()+")", o.pace(pushLook))
	}
	return err
}

// unexpected refuses a machine that is not the server by what is known of that, and says what differs.
func unexpected(s fleet.Server, is fleet.Facts) error {
	var differs []string
	if is.UUID != s.NodeUUID() {
		differs = append(differs, fmt.Sprintf("its UUID is %s, not %s", is.UUID, s.NodeUUID()))
	}
	for _, mac := range lacking(s.Facts.NICs, is.NICs) {
		differs = append(differs, "it has no network card "+mac)
	}
	for _, d := range s.Facts.Disks {
		if !slices.ContainsFunc(is.Disks, func(e fleet.Disk) bool { return sameDisk(d, e) }) {
			differs = append(differs, fmt.Sprintf("it has no disk %s (serial number %s)", d.ID(), d.Serial))
		}
	}
	if len(differs) == 0 {
		return nil
	}
	return fleet.Errorf(fleet.Refused, "the machine that answers at %s is not server %s: %s", s.Address(), s.Name, strings.Join(differs, "; ")).
		WithHint("it got nothing. Look whose address it is; if the server was repaired, let it tell what it is: talos-manager server rescue %s", s.Name)
}

// lacking lists the MAC addresses that a machine should have and has not. Those that nobody assigned (the second bit of
// the first byte) may be of bridges: they count if the machine has none of all.
func lacking(want, have []fleet.NIC) []string {
	var all, missing []string
	for _, n := range want {
		mac, err := net.ParseMAC(n.MAC)
		if err != nil {
			continue
		}
		all = append(all, n.MAC)
		if slices.ContainsFunc(have, func(h fleet.NIC) bool { return strings.EqualFold(h.MAC, n.MAC) }) {
			all = all[:len(all)-1]
		} else if mac[0]&2 == 0 {
			missing = append(missing, n.MAC)
		}
	}
	if len(all) == len(want) {
		return all
	}
	return missing
}

// sameDisk compares a disk of the rescue system with one of Talos, which knows no serial number of many, and calls one
// without a WWN by its model and serial number (t10.…).
func sameDisk(rescue, talos fleet.Disk) bool {
	switch {
	case rescue.SizeBytes != talos.SizeBytes:
		return false
	case rescue.WWID != "" && talos.WWID != "" && !strings.HasPrefix(talos.WWID, "t10."):
		return rescue.WWID == talos.WWID
	case rescue.Serial != "" && talos.Serial != "":
		return rescue.Serial == talos.Serial
	case rescue.Serial != "" && talos.WWID != "":
		return strings.Contains(talos.WWID, rescue.Serial)
	}
	return true // all that both know of it
}

// send hands the config over. Before, it is written down: a second attempt knows that there was a first.
func (o *Operations) send(ctx context.Context, run *workflow.Run, s fleet.Server, p pushed) error {
	s, err := o.toldWhere(ctx, run, s)
	if err != nil {
		return err
	}
	made, err := o.Renderer.MachineConfig(ctx, s)
	if err != nil {
		return err
	}
	p.Sending = o.Now()
	if err := run.Set(ctx, pushKey, p); err != nil {
		return err
	}
	node, err := talos.OpenMaintenance(ctx, s.Address(), p.Pin, o.Dial)
	if err != nil {
		return err
	}
	defer node.Close()
	said := ""
	err = talos.Look(ctx, func(ctx context.Context) error {
		said, err = node.Apply(ctx, made.YAML)
		return err
	})
	switch kind := fleet.KindOf(err); {
	case err == nil:
		return o.wasSent(ctx, run, s, p, said)
	case kind == fleet.Unavailable: // it may have it
		return workflow.Wait("Talos to say that it has the config ("+err.Error()+")", o.pace(pushLook)).Within(o.since(run, p.Seen, configGiveUp))
	}
	p.Sending = time.Time{}
	if failed := run.Set(ctx, pushKey, p); failed != nil {
		return failed
	}
	if e, ok := errors.AsType[*fleet.Error](err); ok && e.Hint == "" {
		return e.WithHint("Talos does not take the config as it is: change it, then talos-manager operation retry %s", run.ID())
	}
	return err
}

// wasSent notes that the machine has the config.
func (o *Operations) wasSent(ctx context.Context, run *workflow.Run, s fleet.Server, p pushed, said string) error {
	if err := o.ranAs(ctx, s, s.NodeUUID()); err != nil {
		return err
	}
	run.Log(ctx, "config handed over to UUID %s: %s", s.NodeUUID(), said)
	p.Sent = true
	return run.Set(ctx, pushKey, p)
}

// readMaintenance reads the facts of a machine that sits in maintenance mode, and makes sure that it is the server. Of
// one of which nothing is known, a person has to say so: it is to get the cluster's secrets.
func (o *Operations) readMaintenance(ctx context.Context, run *workflow.Run, s fleet.Server, pin string) error {
	version, facts, err := o.ask(ctx, s, pin)
	if err != nil {
		return o.notTold(run, err, run.StepStarted())
	}
	if s.Facts.At.IsZero() {
		if answer, ok := run.Answer(); !ok || !strings.EqualFold(strings.TrimSpace(answer), facts.UUID) {
			return workflow.Ask(fmt.Sprintf("The machine in maintenance mode at %s would get the secrets of the cluster, and nothing is known of server %s to compare it with. It says: %s %s, UUID %s, %s, disks %s; its certificate is %s, its screen shows it. If it is the server, answer with its UUID",
				s.Address(), s.Name, facts.Manufacturer, facts.Product, facts.UUID, cards(facts), rescue.Describe(facts.Disks), pin))
		}
	} else if err := unexpected(s, facts); err != nil {
		return o.notAllFound(err, run.StepStarted())
	}
	facts = withOld(facts, s)
	run.Log(ctx, "Talos %s in maintenance mode: %s %s, %d cores, %d GB memory, UUID %s, disks %s", version.Tag, facts.Manufacturer, facts.Product, facts.Cores, fleet.GiB(facts.MemoryBytes), facts.UUID, rescue.Describe(facts.Disks))
	return o.Store.SetFacts(ctx, s.ID, facts)
}

// withOld keeps what Talos does not tell of a server as the rescue system told it.
func withOld(facts fleet.Facts, s fleet.Server) fleet.Facts {
	old := s.Facts
	if s.UUIDOverride != "" { // what Talos says is the override
		facts.UUID = old.UUID
	}
	facts.Board, facts.Firmware, facts.SecureBoot, facts.UEFI = old.Board, old.Firmware, old.SecureBoot, old.UEFI
	facts.Gateway, facts.Gateway6, facts.DHCP, facts.Dmidecode = old.Gateway, old.Gateway6, old.DHCP, old.Dmidecode
	return facts
}

func cards(f fleet.Facts) string {
	var all []string
	for _, n := range f.NICs {
		all = append(all, n.MAC)
	}
	return "network cards " + strings.Join(all, ", ")
}
