#!/usr/bin/env bash
# A volume group vg0 over a partition of each disk, with an active volume root of ext4.
set -euo pipefail
parts=()
for disk; do
	sgdisk --zap-all "$disk" >/dev/null
	sgdisk -n 1:0:+512M -t 1:8e00 "$disk" >/dev/null
	udevadm settle
	parts+=("$(lsblk -nrpo NAME "$disk" | sed -n 2p)")
done
pvcreate -q -ff -y "${parts[@]}" >/dev/null
vgcreate -q vg0 "${parts[@]}" >/dev/null
lvcreate -q -y -L 256M -n root vg0 >/dev/null
mkfs.ext4 -q -L root /dev/vg0/root
udevadm settle
