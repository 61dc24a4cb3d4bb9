#!/usr/bin/env bash
# Reads or replaces Talos' META on a disk: two copies of 256 KiB at the start of the partition META.
#
#   meta.sh read DISK SECTOR START      prints it as base64
#   meta.sh write DISK SECTOR START     writes /run/talos-manager/meta, then removes that
#
# SECTOR is the size of a sector in bytes, START where the partition begins, in sectors: the disk itself is read and
# written, for the kernel may not know its new partitions yet. Exit 74: what was written does not read back.
set -euo pipefail

disk=$2 sector=$3 start=$4
file=/run/talos-manager/meta
count=$((512 * 1024 / sector))

# From the disk, not from memory. The copies hold a secret for a short time: they stay in memory.
take() {
	blockdev --flushbufs "$disk"
	dd if="$disk" bs="$sector" skip="$start" count="$count" status=none
}

case $1 in
read)
	take | base64 -w 0
	;;
write)
	trap 'rm -f "$file"' EXIT
	dd if="$file" of="$disk" bs="$sector" seek="$start" conv=notrunc,fsync status=none
	take | cmp -s - "$file" || { echo "META on $disk does not hold what was written to it" >&2; exit 74; }
	;;
esac
