#!/usr/bin/env bash
# Has whatever stands on a disk let go of it, before anything is written to it, and prints what it stopped:
#
#   release-disk.sh DISK      (/dev/…)
#
# Nothing is lost by it: "mdadm --assemble --scan", "vgchange -ay" and mount bring all of it back. lsblk prints the disk,
# then its partitions, then the arrays and volumes on them, so it is undone backwards. Exit 71: something does not let go.
set -u

disk=$1
[ -b "$disk" ] || { echo "there is no disk $disk" >&2; exit 66; }

lsblk -nrpo NAME,TYPE "$disk" | tac | while read -r name type; do
	[ -b "$name" ] || continue # it stood on two partitions, and is gone
	if grep -q "^$name " /proc/swaps 2>/dev/null && swapoff "$name"; then echo "swap on ${name#/dev/} switched off"; fi
	while grep -q "^$name " /proc/mounts && umount "$name"; do echo "${name#/dev/} unmounted"; done
	case $type in
	raid*) mdadm --stop "$name" >/dev/null 2>&1 && echo "array ${name#/dev/} stopped" ;;
	lvm) dmsetup remove "$name" >/dev/null 2>&1 && echo "volume ${name#/dev/mapper/} switched off" ;;
	crypt) { cryptsetup close "$name" || dmsetup remove "$name"; } >/dev/null 2>&1 && echo "encrypted volume ${name#/dev/mapper/} closed" ;;
	mpath) dmsetup remove "$name" >/dev/null 2>&1 && echo "multipath ${name#/dev/mapper/} switched off" ;;
	esac
done

held=$(lsblk -nro NAME,TYPE,MOUNTPOINT "$disk" | grep -vE '^[^ ]+ (disk|part) ?$' | tr '\n' ';')
[ -z "$held" ] || { echo "disk $disk is still held by $held" >&2; exit 71; }
