//go:build race

package schema_test

// raceEnabled says that everything takes many times as long.
const raceEnabled = true
