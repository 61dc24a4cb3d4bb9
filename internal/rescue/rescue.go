// Package rescue works inside a server's rescue system over SSH: what the machine is, which disk, the image on
// it, the META values that the first boot reads. Everything it runs there is a script in scripts/, embedded, for
// an operator to read. It refuses to act on a machine that is not certainly a rescue system, never names a disk
// by /dev alone, and leaves waiting to its caller.
package rescue

import (
	"context"
	"embed"
	"strings"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// Scripts are what runs in the rescue system.
//
//go:embed scripts/*.sh
var Scripts embed.FS

// dir is where our files are in a rescue system; memory, gone with the next boot.
const dir = "/run/talos-manager"

// Facts asks the machine what it is, in one round trip. It is fleet.Refused if what answers is no rescue system.
func (s *Session) Facts(ctx context.Context) (fleet.Facts, error) {
	before := time.Now()
	out, err := s.script(ctx, "facts.sh", Tools...)
	after := time.Now()
	if err != nil {
		return fleet.Facts{}, err
	}
	sections := split(out)
	is := s.isRescue
	if s.anyMake {
		is = s.inMemory
	}
	if err := is(sections); err != nil {
		return fleet.Facts{}, err
	}
	facts, err := parseFacts(sections, before, after)
	if err != nil {
		return fleet.Facts{}, fleet.Errorf(fleet.Unavailable, "facts of %s: %w", s.server, err)
	}
	if s.anyMake {
		facts.Disks = withoutMedia(facts.Disks, parseMounts(sections["mounts"]))
	}
	return facts, nil
}

// isRescue looks at three things that an installed system does not have together: the hostname, and the
// overlay root over NFS or the greeting.
func (s *Session) isRescue(sections map[string]string) error {
	overlay := strings.Contains(sections["root"], "type overlay") && strings.Contains(sections["root"], "/ramfs")
	greets := strings.Contains(sections["motd"], "Hetzner Rescue")
	if sections["hostname"] == "rescue" && (overlay || greets) {
		return nil
	}
	return fleet.Errorf(fleet.Refused, "server %s: what answers calls itself %q and is not Hetzner's rescue system", s.server, sections["hostname"]).
		WithHint("the boot order may prefer the disk over the network, or the activation lapsed; order the operation again")
}

// split cuts the output of facts.sh into its sections.
func split(out string) map[string]string {
	sections := map[string]string{}
	for _, part := range strings.Split("\n"+out, "\n==> ")[1:] {
		name, text, _ := strings.Cut(part, "\n")
		sections[name] = strings.TrimSpace(text)
	}
	return sections
}
