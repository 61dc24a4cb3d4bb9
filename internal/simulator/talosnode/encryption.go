package talosnode

import (
	"fmt"

	"github.com/siderolabs/talos/pkg/machinery/config/config"
)

// lockFile stands for the LUKS header of a partition that is encrypted by nodeID: it holds the UUID that the key was
// made of.
const lockFile = "luks-nodeid"

// byNodeID says whether the config has a partition encrypted by a key made of the machine's UUID.
func byNodeID(cfg config.Config, label string) bool {
	if cfg == nil {
		return false
	}
	var encryption config.EncryptionConfig
	if v, ok := cfg.Volumes().ByName(label); ok {
		encryption = v.Encryption()
	}
	if encryption == nil && cfg.Machine() != nil {
		encryption = cfg.Machine().SystemDiskEncryption().Get(label)
	}
	if encryption == nil {
		return false
	}
	for _, key := range encryption.Keys() {
		if key.NodeID() != nil {
			return true
		}
	}
	return false
}

// lock encrypts a partition as the config wants it, unless it is encrypted.
func (n *node) lock(cfg config.Config, label string) error {
	if !byNodeID(cfg, label) || n.file(label, lockFile) != nil {
		return nil
	}
	uuid, counts := n.uuid(), map[rune]int{}
	for _, r := range uuid {
		if counts[r]++; counts[r] > len(uuid)/2 {
			return fmt.Errorf("machine UUID %s entropy check failed", uuid)
		}
	}
	return n.setFile(label, lockFile, []byte(uuid))
}

// unlock opens a partition. Another board's UUID does not.
func (n *node) unlock(label string) error {
	if made := n.file(label, lockFile); made != nil && string(made) != n.uuid() {
		return fmt.Errorf("failed to open %s: encryption key rejected", label)
	}
	return nil
}
