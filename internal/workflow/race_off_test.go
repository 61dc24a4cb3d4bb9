//go:build !race

package workflow_test

const slower = 1
