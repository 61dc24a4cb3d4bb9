#!/usr/bin/env bash
# An older Talos with the partitions and labels of v1.14, whose STATE has the config of another cluster: "old", node
# "old-1". Nothing of it boots.
set -euo pipefail
sgdisk --zap-all "$1" >/dev/null
sgdisk -n 1:0:+100M -t 1:ef00 -c 1:EFI -n 2:0:+1M -t 2:ef02 -c 2:BIOS -n 3:0:+400M -t 3:8300 -c 3:BOOT \
	-n 4:0:+1M -t 4:8300 -c 4:META -n 5:0:+100M -t 5:8300 -c 5:STATE -n 6:0:+400M -t 6:8300 -c 6:EPHEMERAL "$1" >/dev/null
udevadm settle
part() { lsblk -nrpo NAME,PARTLABEL "$1" | sed -n "s/ $2\$//p"; }
mkfs.vfat -n EFI "$(part "$1" EFI)" >/dev/null
mkfs.xfs -q -f -L BOOT "$(part "$1" BOOT)"
mkfs.xfs -q -f --unsupported -L STATE "$(part "$1" STATE)" # Talos' is smaller than what mkfs.xfs makes these days
mkfs.xfs -q -f -L EPHEMERAL "$(part "$1" EPHEMERAL)"
at=$(mktemp -d)
mount "$(part "$1" STATE)" "$at"
cat >"$at/config.yaml" <<'END'
version: v1alpha1
debug: false
machine:
    type: controlplane
    token: oldold.1234567890abcdef
    network:
        hostname: old-1
cluster:
    id: b2xkIGNsdXN0ZXIgb2xkIGNsdXN0ZXIgb2xkIGNsdQ==
    secret: c2VjcmV0IG9mIHRoZSBvbGQgY2x1c3RlciBzZWNyZXQ=
    controlPlane:
        endpoint: https://198.51.100.7:6443
    clusterName: old
END
umount "$at"
rmdir "$at"
udevadm settle
