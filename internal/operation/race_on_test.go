//go:build race

package operation_test

// slower is how much slower the race detector makes this program: pretend worlds run that much slower, and promises about
// time are that much wider.
const slower = 2
