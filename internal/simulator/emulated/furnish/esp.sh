#!/usr/bin/env bash
# An EFI system partition that somebody's Debian left behind, whose boot loader starts and finds nothing to boot, and with
# UEFI the boot entry "debian", first in the order.
set -euo pipefail
sgdisk --zap-all "$1" >/dev/null
sgdisk -n 1:0:+64M -t 1:ef00 -c 1:EFI-SYSTEM "$1" >/dev/null
udevadm settle
part=$(lsblk -nrpo NAME "$1" | sed -n 2p)
mkfs.vfat "$part" >/dev/null
at=$(mktemp -d)
mount "$part" "$at"
mkdir -p "$at/EFI/debian" "$at/EFI/BOOT"
cp /root/.oldroot/nfs/loader.efi "$at/EFI/debian/shimx64.efi"
cp /root/.oldroot/nfs/loader.efi "$at/EFI/BOOT/BOOTX64.EFI"
umount "$at"
rmdir "$at"
udevadm settle
[ -d /sys/firmware/efi ] || exit 0
mount -o remount,rw /sys/firmware/efi/efivars
efibootmgr -q -c -d "$1" -p 1 -L debian -l '\EFI\debian\shimx64.efi'
mount -o remount,ro /sys/firmware/efi/efivars
