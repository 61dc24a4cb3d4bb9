package fleet

import (
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// DiskPolicy says what an install may overwrite without asking. What it may not, it asks for by serial number.
type DiskPolicy string

// The policies. Empty is CleanOnly, or what the cluster says.
const (
	CleanOnly DiskPolicy = "clean-only" // blank disks only
	WipeOurs  DiskPolicy = "wipe-ours"  // and the disk that an install of ours wrote on this server before
	WipeAll   DiskPolicy = "wipe-all"   // and whatever is listed on the chosen disk
)

// Check refuses an unknown policy.
func (p DiskPolicy) Check() error {
	switch p {
	case "", CleanOnly, WipeOurs, WipeAll:
		return nil
	}
	return Errorf(Invalid, "unknown disk policy %q", p).WithHint("use %s, %s or %s", CleanOnly, WipeOurs, WipeAll)
}

// Delivery is the way a config takes to its machine.
type Delivery string

// The ways. Empty is Pull.
const (
	Pull Delivery = "pull" // the machine fetches it from us (talos.config=)
	Push Delivery = "push" // we hand it to the maintenance API, for machines that cannot reach us
)

// Check refuses an unknown way.
func (d Delivery) Check() error {
	switch d {
	case "", Pull, Push:
		return nil
	}
	return Errorf(Invalid, "unknown delivery %q", d).WithHint("use %s or %s", Pull, Push)
}

// BootMethod is how Talos gets to run on a machine the first time.
type BootMethod string

// The methods. Empty is BootImage.
const (
	BootImage BootMethod = "image" // its image is written to the disk, and the disk is booted
	BootKexec BootMethod = "kexec" // its kernel is started from the rescue system; Talos installs itself
	BootAuto  BootMethod = "auto"  // kexec when the budget of restarts is short, else image
)

// Check refuses an unknown method.
func (b BootMethod) Check() error {
	switch b {
	case "", BootImage, BootKexec, BootAuto:
		return nil
	}
	return Errorf(Invalid, "unknown boot method %q", b).WithHint("use %s, %s or %s", BootImage, BootKexec, BootAuto)
}

// CheckImageSHA256 refuses what is no checksum of an image file; "" is one that nobody knows.
func CheckImageSHA256(sum string) error {
	if sum == "" {
		return nil
	}
	if raw, err := hex.DecodeString(sum); err != nil || len(raw) != sha256.Size {
		return Errorf(Invalid, "SHA-256 of the image %q is not 64 hex digits", sum).WithHint("sha256sum FILE prints it; leave it out if you do not know it")
	}
	return nil
}

// Installed is what an install of ours wrote last on a server. The zero value: nothing.
type Installed struct {
	Disk      string // Disk.ID
	Serial    string // its serial number, for people
	ClusterID string
	Cluster   string // its name then
	At        time.Time
	Boot      BootMethod // BootKexec if Talos installed itself; its config says where to
}

// NodeUUID is the UUID by which the machine's Talos goes: the override in META where we wrote one, else the board's.
func (s *Server) NodeUUID() string {
	if s.UUIDOverride != "" {
		return s.UUIDOverride
	}
	return s.Facts.UUID
}
