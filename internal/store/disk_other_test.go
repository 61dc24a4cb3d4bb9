//go:build !linux

package store_test

import (
	"testing"

	"github.com/talos-manager/talos-manager/internal/skip"
)

func smallDisk(t *testing.T, _ int) string {
	t.Helper()
	skip.UnlessCI(t, "a small disk is mounted on Linux only")
	return ""
}
