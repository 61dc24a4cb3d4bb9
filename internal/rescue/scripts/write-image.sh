#!/usr/bin/env bash
# Writes a Talos image to a disk and proves it. Started detached, under a lock, by start-write.sh:
#
#   write-image.sh TOKEN DISK URL DECOMPRESSOR [SHA256]
#
# TOKEN names the operation, DISK is /dev/…, SHA256 is of the compressed file ("" if unknown). The old contents
# of DISK are gone once the phase is "wiping". State goes to /run/talos-manager/state, the log beside it.
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

# No --retry: curl would begin the stream anew in the middle of the pipe. Who started us tries the whole again.
fetch() { curl -fsSL --connect-timeout 30 --max-time 3600 "$url"; }

phase checking
[ -b "$disk" ] || { echo "there is no disk $disk" >&2; exit 66; }
if [ -n "$sum" ]; then
	got=$(fetch | sha256sum | cut -d ' ' -f 1)
	[ "$got" = "$sum" ] || { echo "image $url has checksum $got, expected was $sum: nothing was written" >&2; exit 65; }
else
	curl -fsSL -o /dev/null -I "$url" || { echo "image $url cannot be had: nothing was written" >&2; exit 69; }
fi

phase wiping
swapoff -a || true
vgchange -an >/dev/null 2>&1 || true
mdadm --stop --scan >/dev/null 2>&1 || true
wipefs -a -f "$disk" >/dev/null
sgdisk --zap-all "$disk" >/dev/null 2>&1 || true

phase writing
fetch | $decompressor | dd of="$disk" bs=4M iflag=fullblock conv=fsync status=progress 2>"$run/dd" || {
	why=$(tr '\r' '\n' <"$run/dd" | grep -E 'error|space|fail' | tail -n 1)
	echo "writing $url to $disk stopped half way: ${why:-the download or its decompression broke off}" >&2
	exit 74
}

phase verifying
blockdev --flushbufs "$disk"
size=$(tr '\r' '\n' <"$run/dd" | sed -n 's/^\([0-9][0-9]*\) bytes.*/\1/p' | tail -n 1)
fetch | $decompressor | cmp -n "$size" - "$disk" || { echo "disk $disk does not hold what was written to it: it may be failing" >&2; exit 74; }
blockdev --rereadpt "$disk" >/dev/null 2>&1 || true
sync

phase written
