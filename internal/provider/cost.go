package provider

// Cost is what the rescue boot of one server takes from the budget of a group of endpoints if all goes well, in calls:
// for arming, for ordering the restart, and for reaching the rescue system.
type Cost struct {
	Group                string
	Limit                Limit
	Arm, Restart, Arrive int
	Scarce               bool // it is what limits how many servers can be installed in an hour
}

// Costly is a driver whose calls are counted; what others cost is nothing.
type Costly interface {
	RescueCosts() []Cost
}
