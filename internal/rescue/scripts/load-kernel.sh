#!/usr/bin/env bash
# Loads Talos' kernel into memory, to be started by kexec.sh, and wipes the disk that it is to install itself on.
# Started detached, under a lock, by start.sh:
#
#   load-kernel.sh TOKEN DISK KERNEL INITRAMFS
#
# TOKEN names the operation, DISK is /dev/…, KERNEL and INITRAMFS are addresses. The kernel's command line is in
# /run/talos-manager/cmdline.TOKEN, and removed at the end: it has a one-time code in it. The old contents of DISK are gone
# once the phase is "wiping", and not before the kernel was taken; nothing on other disks is touched.
#
# A disk with an older Talos must not stay: its STATE would win over the config that is fetched.
#
# State goes to /run/talos-manager/state, the log beside it. Exit 66: no such disk, 69: kernel or initramfs cannot be had,
# 70: kexec does not take them, 71: something holds the disk, 74: it cannot be written,
# 78: too little memory.
set -euo pipefail

token=$1 disk=$2 kernel=$3 initramfs=$4
run=/run/talos-manager
store=$run/kexec

total='' began='' now=starting

say() { printf 'token=%s\nphase=%s\nexit=%s\nbegan=%s\ntotal=%s\n' "$token" "$1" "$2" "$began" "$total"; }

phase() {
	now=$1 began=$(date +%s)
	say "$now" '' >"$run/state.new"
	mv "$run/state.new" "$run/state"
	echo "$now: $disk"
}

finish() {
	code=$?
	if mountpoint -q "$store"; then umount "$store" || true; fi
	rm -f "$run/cmdline.$token"
	say "$now" "$code" >"$run/state.new"
	mv "$run/state.new" "$run/state"
}
trap finish EXIT

# fail ends the script with a code and the one line that people read.
fail() {
	echo "$2"
	exit "$1"
} >&2

# length asks how many bytes a file has; redirects come before the last answer.
length() {
	curl -fsSIL --connect-timeout 30 --max-time 60 "$1" | tr -d '\r' | sed -n 's/^[Cc]ontent-[Ll]ength: *\([0-9]*\)$/\1/p' | tail -n 1
}

memory() { sed -n "s/^$1: *\([0-9]*\) kB/\1/p" /proc/meminfo; }

# get stores a file. curl itself sees that it is as long as its server says.
get() {
	curl -fsSL --connect-timeout 30 --speed-limit 1000 --speed-time 60 --retry 5 -o "$2" "$1" || fail 69 "$1 cannot be had"
	[ -s "$2" ] || fail 69 "$1 is empty"
	echo "$1 has SHA-256 $(sha256sum "$2" | cut -d ' ' -f 1)"
}

# wipe takes away signatures: of the partitions first, since a partition made later at the same place would show the old
# file system or array again; then both ends of the disk, where partition tables are. "set -e" does not hold in it: who
# calls it asks whether it worked.
wipe() {
	lsblk -nrpo NAME,TYPE "$disk" | tac | while read -r name type; do
		[ "$type" = part ] || [ "$name" = "$disk" ] || continue
		wipefs -a -f "$name" || exit 1
	done >/dev/null || return 1
	sgdisk --zap-all "$disk" >/dev/null 2>&1 || true
	local mib=$(($(blockdev --getsize64 "$disk") / 1048576)) broken="disk $disk cannot be written: it may be failing (dmesg says more)"
	dd if=/dev/zero of="$disk" bs=1M count=1 conv=fsync status=none || fail 74 "$broken"
	dd if=/dev/zero of="$disk" bs=1M count=1 seek=$((mib - 1)) conv=fsync status=none || fail 74 "$broken"
	blockdev --rereadpt "$disk" >/dev/null 2>&1 || true
}

phase checking
[ -b "$disk" ] || fail 66 "there is no disk $disk: nothing was changed"
first=$(length "$kernel") || fail 69 "$kernel cannot be had: nothing was changed"
second=$(length "$initramfs") || fail 69 "$initramfs cannot be had: nothing was changed"
if [ -n "$first" ] && [ -n "$second" ]; then
	total=$((first + second))
	# As files here, in kexec's memory, and in the kernel's that takes them; Talos itself wants 2 GB.
	need=$((total * 3 / 1024 + 131072))
	free=$(memory MemAvailable)
	[ "$free" -ge "$need" ] || fail 78 "kernel and initramfs need $((need / 1024)) MB of memory, $((free / 1024)) MB are free: nothing was changed"
fi
[ "$(memory MemTotal)" -ge 1900000 ] || fail 78 "Talos needs 2 GB of memory to install itself: nothing was changed"

# The files of a rescue system are in memory that is limited; this takes what it needs.
phase downloading
mkdir -p "$store"
if mountpoint -q "$store"; then umount "$store"; fi # of a run that was killed
mount -t tmpfs -o size=90%,mode=700 talos-manager "$store"
get "$kernel" "$store/vmlinuz"
get "$initramfs" "$store/initramfs.xz"

phase loading
kexec -l "$store/vmlinuz" --initrd="$store/initramfs.xz" --command-line="$(cat "$run/cmdline.$token")" ||
	fail 70 "kexec does not take $kernel: nothing was changed"
[ "$(cat /sys/kernel/kexec_loaded)" = 1 ] || fail 70 "the kernel was not loaded: nothing was changed"

phase wiping
wipe || fail 71 "something on disk $disk does not let go of it: $(lsblk -nro NAME,TYPE "$disk" | tr '\n' ' ')"
sync

phase loaded
