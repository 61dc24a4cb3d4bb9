package provider

import "github.com/talos-manager/talos-manager/internal/fleet"

// Reset is a way to make a server boot.
type Reset string

// The resets, mildest first. "A technician presses the button" (man) is none: no program orders one.
const (
	PowerOn    Reset = "power on"    // starts a server that is off; the only one offered then
	SoftReset  Reset = "soft reset"  // asks the running system to reboot: Ctrl-Alt-Del, ACPI. It may ignore that
	HardReset  Reset = "hard reset"  // the reset button: nothing is asked
	PowerCycle Reset = "power cycle" // the power is cut, and put on again
)

// ErrNoPower says that no program can restart the server: somebody at the machine must.
var ErrNoPower = &fleet.Error{
	Kind: fleet.Invalid, Text: "no program can restart this server",
	Hint: "restart it by hand, at the machine or with its remote console",
}
