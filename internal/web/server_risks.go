package web

import (
	"fmt"
	"strings"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// risk is what an action does, step by step, what is lost by it, and what protects whoever orders it.
type risk struct {
	Steps  []string
	Lost   string
	Guards []string
}

func assignRisk(d serverData) risk {
	return risk{
		Steps: []string{
			"The machine config is made and checked with what you enter; if it does not work, nothing is saved.",
			"The record says then what " + d.Server.Name + " is to be. The machine itself is not touched before Talos is installed.",
		},
		Lost:   "nothing on the machine. What it was assigned before is replaced.",
		Guards: []string{"A server that runs as a node is not assigned anew.", "A disk that the machine is not known to have is refused, and so is a rule that chooses none or several."},
	}
}

func rescueRisk(s fleet.Server) risk {
	r := risk{
		Steps:  []string{"Its hardware and disks, and what is on them, are read into the record."},
		Lost:   "whatever runs on it now stops without warning. Its disks are only looked at.",
		Guards: []string{"A node that is Ready is not taken out of its cluster by this: it is refused.", "Nothing is written to a disk. A restart boots what was there before."},
	}
	before := map[fleet.Provider][]string{
		fleet.HetznerRobot: {"Robot is asked to boot the rescue system next, with the SSH key of this manager.", s.Name + " " + toRescue(s) + "; Robot allows 50 such restarts an hour.", "Its SSH is trusted only with the host key that Robot publishes for this boot."},
		fleet.HetznerCloud: {"The Cloud is asked to boot the rescue system next, with the SSH key of this manager.", s.Name + " " + toRescue(s) + ".", "The first host key that answers is trusted for this operation."},
		fleet.Manual:       {s.Name + " " + toRescue(s) + " with the SSH key of this manager in it.", "Its SSH is trusted with the host keys that were given for it; if none were, with the first that answers."},
	}
	r.Steps = append(before[s.Provider], r.Steps...)
	return r
}

func installRisk(d serverData) risk {
	r := risk{
		Steps: []string{
			d.Server.Name + " " + toRescue(d.Server) + "; then it is to join " + d.Row.Cluster + " as " + strings.ToLower(roleTitle(d.Server.Assignment.Role)) + ".",
			"The disk is chosen by what the machine has now, and arrays that stand on it are stopped.",
			"Talos is written to the disk and read back. The old system is gone from here on.",
			"Talos boots, gets its machine config once by a one-time code, and joins the cluster.",
		},
		Lost:   loss(d),
		Guards: []string{"Before anything is written, the config is checked, the machine told from others by its UUID, and the disk by its WWID.", "Cancelled before the disk is written, nothing on it has changed."},
	}
	if d.Forecast.Question != "" {
		r.Guards = append(r.Guards, "By its disk policy ("+string(d.Forecast.Policy)+") the install stops and asks; the answer names every disk that changes by its serial number.")
	}
	return r
}

func renameRisk(s fleet.Server) risk {
	first := "Hetzner is asked to rename it."
	if s.Provider == fleet.Manual {
		first = "Its record is renamed; there is nobody to ask."
	}
	return risk{
		Steps:  []string{first, "Where its node name is not set by itself, the node is named so when it is installed."},
		Lost:   "nothing.",
		Guards: []string{"A node that goes by this name keeps it: that is refused.", "No two nodes of a cluster get one name."},
	}
}

func releaseRisk(d serverData) risk {
	lost := "what it was assigned (role, node name, disk, patch)."
	if d.node() {
		lost += " Talos goes on running on it and stays a member of " + d.Row.Cluster + " until it is wiped: drain it and remove it from etcd first."
	}
	steps := []string{d.Server.Name + " is free to be assigned and installed anew.", "The machine is not touched: what is on its disks stays."}
	if disks := d.Server.Facts.Disks; len(disks) > 0 {
		steps[1] = "The machine is not touched: what is on " + serials(disks) + " stays."
	}
	r := risk{Steps: steps, Lost: lost, Guards: []string{"Its own patches stay in the history, and can be read there."}}
	if d.Server.Assignment.Role == fleet.ControlPlane {
		r.Guards = append(r.Guards, "A control plane that etcd still counts as a member is not let go, unless you say below that it left.")
	}
	return r
}

func recoverRisk(s fleet.Server) risk {
	return risk{
		Steps: []string{
			s.Name + " " + toRescue(s) + ".",
			"META on the disk of its Talos is written to say the UUID by which it ran. Nothing else on the disk is changed.",
			"Talos boots; it is waited for until the node answers by that UUID, and Kubernetes knows it.",
		},
		Lost:   "whatever runs on it now stops without warning.",
		Guards: []string{"A UUID that another server goes by is refused.", "If several disks have a Talos on them, it stops before anything is written."},
	}
}

func overrideRisk(d serverData) risk {
	return risk{
		Steps:  []string{"It is noted which UUID META is to give to Talos. The machine is not touched before the next install."},
		Lost:   "nothing now. Disks that Talos encrypts by nodeID will open with this UUID only, for good.",
		Guards: []string{"A UUID that cannot be the seed of a key, or that another server goes by, is refused.", "A server that runs as a node keeps its own."},
	}
}

func vswitchRisk(d serverData) risk {
	return risk{
		Steps:  []string{"Robot takes " + d.Server.Name + " out of every other vSwitch, and puts it into the chosen one. Each change takes 10 to 120 seconds."},
		Lost:   "its connections over the vSwitch it is in now.",
		Guards: []string{"A node is not cut off from the private network of its cluster: that is refused."},
	}
}

func probeRisk() risk {
	return risk{
		Steps:  []string{"SSH is tried at its address, then Talos’ API.", "A rescue system, or a Talos without a config, is asked what the machine is made of."},
		Lost:   "nothing: it is only looked at.",
		Guards: []string{"A system that runs from a disk is not asked for anything."},
	}
}

func moveRisk() risk {
	return risk{
		Steps:  []string{"The record says where it is from now on. Nothing happens to the machine."},
		Lost:   "the address and the host keys that were known so far.",
		Guards: []string{"An address that another server has is refused, and so is one that breaks its machine config."},
	}
}

func removeRisk(s fleet.Server) risk {
	lost := "its record: what is known of its hardware, its own patches and their history."
	if disks := s.Facts.Disks; len(disks) > 0 {
		lost += " Of its disks " + serials(disks) + " nothing is lost."
	}
	steps := []string{"The record is removed. Nothing happens to the machine."}
	if s.Provider != fleet.Manual {
		steps = append(steps, "If its account lists it again, it comes back as a new server.")
	}
	return risk{Steps: steps, Lost: lost, Guards: []string{"A server that belongs to a cluster, or that an operation works on, is not removed.", "Events that tell of it stay."}}
}

// toRescue says how a server comes into its rescue system.
func toRescue(s fleet.Server) string {
	if s.Provider == fleet.Manual {
		return "is waited for until somebody has booted its rescue system"
	}
	return "is restarted by force into the rescue system"
}

// loss says what an install destroys, by what is known of the disk.
func loss(d serverData) string {
	stops := "what runs on it now stops without warning"
	disk, known := d.disk()
	switch {
	case d.blank():
		return stops + "; the disk is blank."
	case known:
		return fmt.Sprintf("%s; everything on %s (serial %s): %s.", stops, disk.Name, disk.Serial, strings.Join(disk.Contents, ", "))
	}
	return stops + "; everything on that disk. What is on it is not known yet: it is read before anything is written."
}

func roleOf(s fleet.Server) fleet.Role {
	if s.Assignment.Role != "" {
		return s.Assignment.Role
	}
	return fleet.GuessRole(s.Name)
}

func assignTitle(d serverData) string {
	if d.Server.Assignment.Assigned() {
		return "Change its assignment"
	}
	return "Assign to a cluster"
}

// recoverable says whether there may be a Talos to give its UUID back.
func recoverable(s fleet.Server) bool {
	return s.Assignment.Assigned() && s.State != fleet.Ready && s.State != fleet.Configured && s.State != fleet.Installing &&
		(s.RanAs != "" || !s.Installed.At.IsZero() || s.State == fleet.Unhealthy)
}

// removable says whether the server can be forgotten.
func removable(s fleet.Server) bool {
	return !s.Assignment.Assigned() && (s.Provider == fleet.Manual || !s.MissingAt.IsZero())
}
