#!/usr/bin/env bash
# Gives the Talos image on a disk its talos.config argument, in everything of it that may boot: in grub.cfg on the
# partition BOOT, and in an addon beside each unified kernel image on the partition EFI. A second run replaces what
# the first one wrote.
#
#   kernel-argument.sh ARGUMENT BOOT EFI     (the partitions as /dev/…, "" where the image has none)
#
# The addon is /run/talos-manager/addon.efi. Prints a line for each thing that it changed: "grub", "uki NAME"; and
# "sealed NAME ARGUMENT" for a kernel image that has such an argument of its own, which would win over the addon's.
# Exit 65: a grub.cfg without a kernel line, 74: the disk cannot be written.
set -euo pipefail

argument=$1 boot=$2 efi=$3
mnt=/mnt/talos-manager
addon=/run/talos-manager/addon.efi
mkdir -p "$mnt"

attach() {
	if mountpoint -q "$mnt"; then umount "$mnt"; fi # of a run that died here
	mount -t "$1" "$2" "$mnt" || { echo "partition $2 cannot be mounted as $1" >&2; exit 74; }
}

# Written through: what is read later comes from the disk.
detach() {
	sync
	umount "$mnt"
	blockdev --flushbufs "$1"
}

# GRUB's menu is a script: what means something to it is escaped as Talos' own installer does it (bootloader/grub/
# quote.go); the second sed protects the result from the third. The menu entry "Reset Talos installation" leads to
# maintenance mode: it is left alone.
grub() {
	local config=$mnt/grub/grub.cfg escaped
	[ -f "$config" ] || return 0
	escaped=$(printf '%s' "$argument" | sed 's/[\\{}&$|;<>"]/\\&/g' | sed 's/[&|\\]/\\&/g')
	sed -i '/^menuentry "Reset /,/^}/!{
s| talos\.config=[^ ]*||g
s|^\( *linux .*[^ ]\) *$|\1 '"$escaped"'|
}' "$config" || { echo "grub.cfg on $boot cannot be written" >&2; exit 74; }
	grep -q '^ *linux .* talos\.config=' "$config" || { echo "grub.cfg on $boot has no kernel line" >&2; exit 65; }
	echo grub
}

# systemd-stub reads EFI/Linux/NAME.efi.extra.d/*.addon.efi. What a kernel image has in its own command line comes
# first, and Talos takes the first.
uki() {
	local image sealed
	for image in "$mnt"/EFI/Linux/*.efi; do
		[ -f "$image" ] || continue
		sealed=$(grep -ao 'talos\.config=[^ [:cntrl:]]*' "$image" | head -n 1) || sealed=
		if [ -n "$sealed" ]; then
			echo "sealed $(basename "$image") $sealed"
			continue
		fi
		mkdir -p "$image.extra.d"
		cp "$addon" "$image.extra.d/talos-manager.addon.efi" || { echo "the addon cannot be written to $efi: is it full?" >&2; exit 74; }
		echo "uki $(basename "$image")"
	done
}

if [ -n "$boot" ]; then
	attach xfs "$boot"
	grub
	detach "$boot"
fi
if [ -n "$efi" ]; then
	attach vfat "$efi"
	uki
	detach "$efi"
fi
rm -f "$addon"
