package web

import (
	"fmt"
	"strings"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
)

// tone is one of the four states that a thing can be in for whoever looks after it. Each has an icon and is always
// said in words too.
type tone string

const (
	ok        tone = "ok"        // nothing to do
	working   tone = "working"   // something is being done; it ends by itself
	attention tone = "attention" // a person is needed, or should know
	broken    tone = "broken"    // it stopped
	skipped   tone = "skipped"   // of a step: a person had it left out
)

// status is a tone and its words.
type status struct {
	Tone   tone
	Word   string // "Ready"
	Detail string // "Waiting for the rescue system to answer SSH", "" if there is nothing to add
}

// serverStatus says how a server does, by its record and the operation that has it, if any.
func serverStatus(s fleet.Server, op *fleet.Operation) status {
	if op != nil && !op.State.Final() {
		st := operationStatus(*op)
		return status{Tone: st.Tone, Word: doing(op.Kind), Detail: stepDetail(*op)}
	}
	if !s.MissingAt.IsZero() {
		return status{attention, "Missing", "Its account does not list it any more, since " + day(s.MissingAt)}
	}
	switch s.State {
	case fleet.Known:
		if s.Assignment.Assigned() {
			return status{attention, "Not installed", "Assigned; install Talos to make it a node"}
		}
		return status{ok, "Free", ""}
	case fleet.Installing:
		return status{working, "Installing", ""}
	case fleet.Configured:
		return status{working, "Joining", "Runs Talos; its node is not Ready yet"}
	case fleet.Ready:
		return status{ok, "Ready", ""}
	case fleet.Unhealthy:
		return status{broken, "Not Ready", "Its node was Ready and is not any more"}
	case fleet.Broken:
		return status{broken, "Install stopped", "Its disk was being written: what it had is gone"}
	}
	return status{attention, string(s.State), ""}
}

// operationStatus says how an operation does.
func operationStatus(op fleet.Operation) status {
	switch op.State {
	case fleet.Pending:
		return status{working, "Queued", ""}
	case fleet.Running:
		return status{working, "Running", op.Step}
	case fleet.Waiting:
		return status{working, "Waiting", waitingFor(op)}
	case fleet.Asking:
		return status{attention, "Asks", op.Question}
	case fleet.Succeeded:
		return status{ok, "Done", withoutSteps(op)}
	case fleet.Cancelled:
		return status{attention, "Cancelled", "at " + quoted(op.Step)}
	case fleet.Failed:
		return status{broken, "Failed", op.Error}
	}
	return status{attention, string(op.State), ""}
}

// stepStatus says how a step does.
func stepStatus(s fleet.OperationStep) status {
	switch s.State {
	case fleet.Pending:
		return status{"", "To do", ""}
	case fleet.Skipped:
		return status{skipped, "Skipped", ""}
	}
	return operationStatus(fleet.Operation{State: s.State})
}

// withoutSteps names the steps that a person had left out.
func withoutSteps(op fleet.Operation) string {
	var names []string
	for _, s := range op.Steps {
		if s.State == fleet.Skipped {
			names = append(names, quoted(s.Name))
		}
	}
	if len(names) == 0 {
		return ""
	}
	return "without " + strings.Join(names, " and ")
}

// stepDetail is where an operation stands, and what for it waits or asks.
func stepDetail(op fleet.Operation) string {
	switch {
	case op.State == fleet.Asking:
		return "Asks a question at " + quoted(op.Step)
	case op.State == fleet.Waiting && op.WaitingFor != "":
		return upper(op.Step) + ": " + waitingFor(op)
	case op.Step == "":
		return "Queued"
	}
	return upper(op.Step)
}

func waitingFor(op fleet.Operation) string {
	if op.WaitingFor == "" {
		return "Waiting"
	}
	return "waiting for " + op.WaitingFor
}

// doing names a running operation, title what it is.
func doing(kind string) string {
	switch kind {
	case "server.install":
		return "Installing"
	case "server.rescue":
		return "Booting rescue"
	case "server.recover-uuid":
		return "Recovering its UUID"
	case "server.vswitch":
		return "Moving to another vSwitch"
	case "cluster.bootstrap":
		return "Bootstrapping"
	}
	return kind
}

func kindTitle(kind string) string {
	switch kind {
	case "server.install":
		return "Install Talos"
	case "server.rescue":
		return "Boot the rescue system"
	case "server.recover-uuid":
		return "Give Talos its UUID back"
	case "server.vswitch":
		return "Move to another vSwitch"
	case "cluster.bootstrap":
		return "Bootstrap etcd"
	}
	return kind
}

func powerStatus(p fleet.Power) string {
	switch p {
	case fleet.PowerOn:
		return "On"
	case fleet.PowerOff:
		return "Off"
	}
	return "Unknown"
}

func providerTitle(p fleet.Provider) string {
	switch p {
	case fleet.HetznerCloud:
		return "Cloud"
	case fleet.HetznerRobot:
		return "Dedicated"
	case fleet.Manual:
		return "Added by hand"
	}
	return string(p)
}

// accountTitle is Hetzner's name for where such an account is.
func accountTitle(p fleet.Provider) string {
	if p == fleet.HetznerRobot {
		return "Robot"
	}
	return providerTitle(p)
}

func roleTitle(r fleet.Role) string {
	switch r {
	case fleet.ControlPlane:
		return "Control plane"
	case fleet.Worker:
		return "Worker"
	}
	return string(r)
}

// day and clock are moments in words that need no ticking; times are in UTC, as in the logs.
func day(t time.Time) string   { return t.UTC().Format("2 January 2006, 15:04") }
func clock(t time.Time) string { return t.UTC().Format("15:04:05") }

// exact is a moment as machines and careful people read it.
func exact(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// age is how long ago something was, in one unit. app.js knows the same words.
func age(d time.Duration) string {
	switch {
	case d < 5*time.Second:
		return "just now"
	case d < time.Minute:
		return fmt.Sprintf("%d s ago", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	}
	return fmt.Sprintf("%d d ago", int(d.Hours()/24))
}

// span is how long something took, in two units. app.js knows the same words.
func span(d time.Duration) string {
	d = d.Truncate(time.Second)
	switch {
	case d < time.Second:
		return "< 1 s"
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
}

// size is a disk's or a memory's size; disks are sold in powers of ten, memory in powers of two.
func size(n int64, unit int64, names ...string) string {
	v, i := float64(n), 0
	for v >= float64(unit) && i < len(names)-1 {
		v, i = v/float64(unit), i+1
	}
	if v >= 100 || i == 0 || v == float64(int64(v)) {
		return fmt.Sprintf("%.0f %s", v, names[i])
	}
	return fmt.Sprintf("%.1f %s", v, names[i])
}

func diskSize(n int64) string   { return size(n, 1000, "B", "kB", "MB", "GB", "TB", "PB") }
func memorySize(n int64) string { return size(n, 1024, "B", "KiB", "MiB", "GiB", "TiB") }

// progress says how far a step is.
func progress(op fleet.Operation) string {
	one := func(n int64) string {
		if op.Unit == "bytes" {
			return diskSize(n)
		}
		return strings.TrimSpace(fmt.Sprintf("%d %s", n, op.Unit))
	}
	if op.Total > 0 {
		return fmt.Sprintf("%s of %s", one(op.Done), one(op.Total))
	}
	return one(op.Done)
}

// upper begins a sentence; errors and steps are written in lower case.
func upper(s string) string {
	if s == "" || s[0] < 'a' || s[0] > 'z' {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

func quoted(s string) string { return "“" + s + "”" }

// count says how many, in the right number.
func count(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}
