#!/usr/bin/env bash
# An ext4 in a partition, with a file in it.
set -euo pipefail
sgdisk --zap-all "$1" >/dev/null
sgdisk -n 1:0:+256M -c 1:data "$1" >/dev/null
udevadm settle
part=$(lsblk -nrpo NAME "$1" | sed -n 2p)
mkfs.ext4 -q -L family "$part"
at=$(mktemp -d)
mount "$part" "$at"
echo "nobody has a copy" >"$at/photos"
umount "$at"
rmdir "$at"
udevadm settle
