package fleet

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// Power is what a provider says of a server's power.
type Power string

// The power states.
const (
	PowerUnknown Power = "unknown"
	PowerOn      Power = "on"
	PowerOff     Power = "off"
)

// State of a server in its life with us.
type State string

// The states of a server. The diagram:
//
//	known --install--> installing --booted--> configured --joined--> ready
//	                       |failed                                    |NotReady
//	                       v                                          v
//	                     broken                                    unhealthy
const (
	Known      State = "known"      // listed by its account; nothing of ours on it
	Installing State = "installing" // an install is under way
	Configured State = "configured" // runs Talos with its cluster's config; not in Kubernetes yet
	Ready      State = "ready"      // its node is Ready
	Unhealthy  State = "unhealthy"  // was ready, is not any more
	Broken     State = "broken"     // an install stopped; see its operation
)

// Problem is why a person should look at a server, by its record alone.
type Problem string

// The problems of servers.
const (
	ProblemUUID  Problem = "uuid"  // its UUID is missing, a placeholder, or that of another server, too
	ProblemGone  Problem = "gone"  // it belongs to a cluster, and its provider has taken it back or will: missing or cancelled
	ProblemDraft Problem = "draft" // what it is to be is kept as a draft
)

// OfMissing says whether servers that their accounts do not list any more have the problem, too.
func (p Problem) OfMissing() bool { return p == ProblemGone || p == ProblemDraft }

// Server is a rented machine.
type Server struct {
	ID           string
	AccountID    string
	Provider     Provider
	ProviderID   string // Robot server number or Cloud server id; "address:port" of SSH if somebody added it
	Name         string // at the provider
	Product      string // AX41-NVMe, cx23
	Location     string // FSN1-DC8, fsn1
	Architecture Architecture
	Status       string // the provider's own word: ready, running, in process, …
	Power        Power
	Locked       bool   // the provider is busy with it
	IPv4         string // "" for IPv6-only servers
	IPv6         string // host address we reach it by (the /64 plus 1, or 2 in Robot's rescue); "" if none
	IPv6Net      string // 2001:db8:10:20::/64; "" if none
	VSwitchID    string
	Cancelled    bool
	CreatedAt    time.Time
	SeenAt       time.Time // last listing that contained it
	MissingAt    time.Time // first complete listing that did not; zero while listed. Never deleted by a sync
	State        State
	Facts        Facts
	// UUIDOverride is the UUID that META gives to Talos in place of the board's (key 0xf); "" if it gives none. It
	// outlives an exchange of the board: what is encrypted by it stays readable.
	UUIDOverride string
	// RanAs is the UUID by which its Talos was last seen to run: disks that Talos encrypted by nodeID open with that one
	// only, whatever the board says after an exchange. "": it never ran.
	RanAs     string
	Installed Installed
	// HostKey has the fingerprints of its rescue system's SSH host keys that an operator gave, for a server added by hand;
	// see HostKeys. "": none.
	HostKey    string
	Assignment Assignment
}

// Address is where the server is reached: IPv4 if it has one.
func (s *Server) Address() string {
	if s.IPv4 != "" {
		return s.IPv4
	}
	return s.IPv6
}

// Hostname is the name of its node: the assignment's, or else the server's own.
func (s *Server) Hostname() string {
	if s.Assignment.Hostname != "" {
		return s.Assignment.Hostname
	}
	return s.Name
}

// Assignment says what a server is to be. The zero value: nothing.
type Assignment struct {
	ClusterID     string
	Role          Role
	ConfigID      string     // empty: the cluster's
	Hostname      string     // empty: the server's name
	PrivateIP     string     // "" or an address without prefix length
	InstallDisk   string     // WWID in Talos' notation, "serial:…", "rule:…", or "" for the only disk of 10 GB or more
	DiskPolicy    DiskPolicy // empty: the cluster's
	EphemeralDisk string     // "wwid:…" or "uuid:…" of an md array, or ""
	SchematicID   string     // empty: the cluster's
	Draft         bool       // not in effect: with it the server's config would not render, or it is not meant to be yet
}

// EphemeralWWID is the WWID of the disk that EPHEMERAL goes to, "" if it goes to no disk of its own.
func (a Assignment) EphemeralWWID() string {
	id, ok := strings.CutPrefix(a.EphemeralDisk, "wwid:")
	if !ok {
		return ""
	}
	return id
}

// Assigned says whether the server belongs to a cluster.
func (a Assignment) Assigned() bool { return a.ClusterID != "" }

// GuessRole is the default role for a server of this name; it binds nobody.
func GuessRole(name string) Role {
	for _, word := range []string{"control-plane", "controlplane", "master"} {
		if strings.Contains(name, word) {
			return ControlPlane
		}
	}
	return Worker
}

var uuidForm = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// placeholders are UUIDs that many boards have which nobody gave one of their own. Talos' test lets them pass.
var placeholders = map[string]bool{
	"03000200-0400-0500-0006-000700080009": true, // the BIOS maker's default, in both orders of its bytes
	"00020003-0004-0005-0006-000700080009": true,
	"12345678-1234-5678-90ab-cddeefaabbcc": true,
	"01234567-89ab-cdef-0123-456789abcdef": true,
	"00112233-4455-6677-8899-aabbccddeeff": true,
	"fefefefe-fefe-fefe-fefe-fefefefefefe": true,
}

// CheckUUID refuses an SMBIOS UUID that cannot tell machines apart or seed Talos' nodeID disk keys: what Talos' own
// test refuses, and placeholders that its test lets pass, such as those whose last part was never filled in.
func CheckUUID(server, uuid string) error {
	why := uuidProblem(uuid)
	if why == "" {
		return nil
	}
	return Errorf(Refused, "server %s: its SMBIOS UUID %q %s", server, strings.ToLower(strings.TrimSpace(uuid)), why).
		WithHint("some rented servers come without a proper UUID, and disk encryption needs one. Ask the provider's support to set it: `talos-manager server show %s` has the mail to send. Or install with --override-uuid: META then gives Talos a random one, for good", server)
}

// uuidProblem says what is wrong with a UUID, as in "it …"; "" if nothing is.
func uuidProblem(uuid string) string {
	uuid = strings.ToLower(strings.TrimSpace(uuid))
	switch {
	case uuid == "":
		return "is missing"
	case !uuidForm.MatchString(uuid):
		return "is not a UUID"
	case placeholders[uuid]:
		return "is the board maker's placeholder"
	case strings.HasSuffix(uuid, "-000000000000"):
		return "ends in zeroes: its maker did not fill it in"
	case lowEntropy(uuid):
		return "is mostly one character"
	}
	return ""
}

// lowEntropy is Talos' test of a UUID that is to be a key: one character may not be more than half of it. Source: talos
// internal/pkg/encryption/keys/nodeid.go, the same from 1.10 to 1.14.
func lowEntropy(uuid string) bool {
	count := map[rune]int{}
	for _, r := range uuid {
		count[r]++
		if count[r] > len(uuid)/2 {
			return true
		}
	}
	return false
}

// UUIDMail is the mail to Hetzner for a server whose UUID CheckUUID refuses.
func UUIDMail(f Facts) string {
	problem := ""
	if why := uuidProblem(f.UUID); why != "" {
		problem = "\nNote the UUID: it " + why + ".\n"
	}
	return fmt.Sprintf(`Hi,

We have found that this server has an invalid SMBIOS UUID.

When running `+"`dmidecode -t system`"+` the output is:
%s
%s
We need to have a proper UUID since our disk encryption scheme is based on the entropy
of this UUID and with the one present here it doesn't work.

Downtime for the server while solving this is fine, we won't be making use of it until this is solved.
`, strings.TrimSpace(f.Dmidecode), problem)
}
