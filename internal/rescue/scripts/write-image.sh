#!/usr/bin/env bash
# Writes a Talos image to a disk and proves it. Started detached, under a lock, by start-write.sh:
#
#   write-image.sh TOKEN DISK URL DECOMPRESSOR [SHA256]
#
# TOKEN names the operation, DISK is /dev/…, SHA256 is of the compressed file ("" if unknown). The old contents
# of DISK are gone once the phase is "wiping"; nothing on other disks is touched, nor what runs on them alone. State
# goes to /run/talos-manager/state, the log beside it. Exit 65: wrong checksum, 66: no such disk, 69: no image,
# 71: something holds the disk, 74: writing failed.
set -euo pipefail

token=$1 disk=$2 url=$3 decompressor=$4 sum=${5:-}
run=/run/talos-manager

phase() {
	printf 'token=%s\nphase=%s\nexit=\n' "$token" "$1" >"$run/state.new"
	mv "$run/state.new" "$run/state"
	echo "$1: $disk"
}

finish() {
	code=$?
	printf 'token=%s\nphase=%s\nexit=%s\n' "$token" "$(sed -n 's/^phase=//p' "$run/state")" "$code" >"$run/state.new"
	mv "$run/state.new" "$run/state"
}
trap finish EXIT

# fail ends the script with a code and the one line that people read.
fail() {
	echo "$2"
	exit "$1"
} >&2

# No --retry: curl would begin the stream anew in the middle of the pipe. Who started us tries the whole again.
fetch() { curl -fsSL --connect-timeout 30 --max-time 3600 "$url"; }

# release has whatever stands on the disk let go of it: lsblk prints the disk, then its partitions, then the arrays and
# volumes on them, so it is undone backwards. A thing that stands on two partitions comes twice, hence "|| true".
release() {
	lsblk -nrpo NAME,TYPE "$disk" | tac | while read -r name type; do
		swapoff "$name" || true
		umount "$name" || true
		case $type in
		lvm | crypt | mpath) dmsetup remove "$name" || true ;;
		raid*) mdadm --stop "$name" || true ;;
		esac
	done >/dev/null 2>&1
}

# wipe takes away signatures: of the partitions first, since a partition made later at the same place would show the old
# file system or array again.
wipe() {
	lsblk -nrpo NAME,TYPE "$disk" | tac | while read -r name type; do
		[ "$type" = part ] || [ "$type" = disk ] || continue
		wipefs -a -f "$name" || exit 1
	done >/dev/null || return 1
	sgdisk --zap-all "$disk" >/dev/null 2>&1 || true
}

phase checking
[ -b "$disk" ] || fail 66 "there is no disk $disk: nothing was written"
if [ -n "$sum" ]; then
	got=$(fetch | sha256sum | cut -d ' ' -f 1) || fail 69 "image $url cannot be had: nothing was written"
	[ "$got" = "$sum" ] || fail 65 "image $url has checksum $got, expected was $sum: nothing was written"
else
	curl -fsSL -o /dev/null -I "$url" || fail 69 "image $url cannot be had: nothing was written"
fi

phase wiping
release
wipe || fail 71 "something on disk $disk does not let go of it: $(lsblk -nro NAME,TYPE "$disk" | tr '\n' ' ')"

phase writing
fetch | $decompressor | dd of="$disk" bs=4M iflag=fullblock conv=fsync status=progress 2>"$run/dd" || {
	why=$(tr '\r' '\n' <"$run/dd" | grep -E 'error|space|fail' | tail -n 1) || why="the download or its decompression broke off"
	fail 74 "writing $url to $disk stopped half way: $why"
}

phase verifying
# What dd wrote was forced to the disk (fsync) and is now dropped from memory, so that it is the disk that is read.
blockdev --flushbufs "$disk"
echo 1 2>/dev/null >/proc/sys/vm/drop_caches || true
size=$(tr '\r' '\n' <"$run/dd" | sed -n 's/^\([0-9][0-9]*\) bytes.*/\1/p' | tail -n 1)
[ "${size:-0}" -gt 0 ] || fail 69 "image $url is empty"
verified=0
fetch | $decompressor | cmp -n "$size" - "$disk" || verified=1
[ "$verified" = 0 ] || fail 74 "disk $disk does not hold what was written to it, or $url could not be read again"
blockdev --rereadpt "$disk" >/dev/null 2>&1 || true
sync

phase written
