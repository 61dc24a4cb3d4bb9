//go:build !linux

package store_test

import "testing"

// smallDisk is only made on Linux.
func smallDisk(*testing.T, int) string { return "" }
