#!/usr/bin/env bash
# Adds a kernel argument to the GRUB configuration of a Talos image that boots by BIOS.
#
#   grub.sh PARTITION ARGUMENT      (PARTITION is the one labelled BOOT, /dev/…)
set -euo pipefail

mnt=/mnt/talos-manager
mkdir -p "$mnt"
if mountpoint -q "$mnt"; then umount "$mnt"; fi # of a run that died here
mount -t xfs "$1" "$mnt"
trap 'umount "$mnt"' EXIT
config="$mnt/grub/grub.cfg"
[ -f "$config" ] || { echo "partition $1 has no grub/grub.cfg" >&2; exit 66; }
# GRUB's menu is a script: what means something to it is escaped as Talos' own installer does it. The second sed
# protects the result from the third.
escaped=$(printf '%s' "$2" | sed 's/[\\{}&$|;<>"]/\\&/g' | sed 's/[&|\\]/\\&/g')
sed -i "s| talos.config=[^ ]*||g; s|talos.platform=metal|talos.platform=metal $escaped|" "$config"
grep -q 'talos.config=' "$config" || { echo "the kernel line of $1 was not found in grub/grub.cfg" >&2; exit 65; }
sync
