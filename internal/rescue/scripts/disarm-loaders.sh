#!/usr/bin/env bash
# Hides the boot loaders on an EFI system partition from the firmware, whichever way it looks for them (by the entries
# of its menu, or by names that it knows): renames the directory EFI. Nothing is lost; the opposite, by hand:
#
#   mount /dev/PARTITION /mnt && mv /mnt/EFI.talos-manager /mnt/EFI && umount /mnt
#
#   disarm-loaders.sh PARTITION      (/dev/…)
set -euo pipefail

device=$(lsblk -nrpo NAME "$1" | tail -n 1) # an array that stands on it holds it
while grep -q "^$device " /proc/mounts; do umount "$device"; done # of a look that died half way: it is mounted read-only
at=$(mktemp -d)
mount -t vfat "$device" "$at"
trap 'umount "$at"; rmdir "$at"' EXIT
if [ -e "$at/EFI" ]; then
	hidden=$at/EFI.talos-manager
	[ ! -e "$hidden" ] || hidden=$hidden.$(date +%s) # of another time: both stay
	mv "$at/EFI" "$hidden"
	sync
	echo "renamed EFI to ${hidden##*/}"
fi
