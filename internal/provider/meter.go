package provider

// Metered is a group of endpoints whose calls are counted together.
type Metered struct {
	Group string // as in budgets: "robot POST /reset"
	What  string // is done by such calls, for people
	Limit Limit
}

// Meter is a driver that counts its calls.
type Meter interface {
	// Meters lists its groups, the scarcest first.
	Meters() []Metered
}
