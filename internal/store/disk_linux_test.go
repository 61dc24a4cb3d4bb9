package store_test

import (
	"fmt"
	"syscall"
	"testing"

	"github.com/talos-manager/talos-manager/internal/skip"
)

// smallDisk mounts a file system of that many bytes, which only root may.
func smallDisk(t *testing.T, size int) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=700", size)); err != nil {
		skip.UnlessCI(t, "mounting a small disk: %v: run as root", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}
