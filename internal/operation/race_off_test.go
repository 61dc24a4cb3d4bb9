//go:build !race

package operation_test

const slower = 1
