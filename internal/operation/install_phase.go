package operation

// InstallPhases are the phases of an install, in order.
func InstallPhases() []string { return installPhases() }

// InstallPhase is the phase that a step of an install belongs to, as an index of InstallPhases.
func InstallPhase(step string) int { return phaseAt(step) }
