//go:build !linux

package imagecache

// freeBytes is not known here; a write says that the disk is full.
func freeBytes(string) (int64, bool) { return 0, false }
