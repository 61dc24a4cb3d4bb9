#!/usr/bin/env bash
# Prints the architectures that a written image boots on by UEFI, "amd64" or "arm64": those whose boot loader is in
# EFI/BOOT of its EFI system partition, where firmware looks for it. It reads the FAT file system itself, because it
# must not depend on a kernel that has seen the new partition table. Nothing is printed if there is no such partition.
#
#   boot-loader.sh DISK
set -euo pipefail

disk=$1

# lines prints COUNT sectors from FIRST on as hexadecimal, WIDTH bytes a line.
lines() { dd if="$disk" bs=512 skip="$1" count="$2" status=none | od -An -v -tx1 -w"$3" | tr -d ' '; }

# little prints the little-endian number of LENGTH bytes at byte AT of a line.
little() {
	local i out=
	for ((i = $2 + $3 - 1; i >= $2; i--)); do out+=${1:i*2:2}; done
	printf %d "0x$out"
}

# first prints the first of the lines of its input that begin with BEGINNING. It reads all of them: who writes them would
# fail if it did not.
first() {
	local found
	found=$(grep "^$1") || return 1
	echo "${found%%$'\n'*}"
}

esp=$(lines 2 32 128 | first 28732ac11ff8d211ba4b00a0c93ec93b) || exit 0
start=$(little "$esp" 32 8)
boot=$(lines "$start" 1 512)
[ "${boot:1020:4}" = 55aa ] && [ "$(little "$boot" 11 2)" = 512 ] || exit 0
cluster=$(little "$boot" 13 1)
fat=$(little "$boot" 22 2)
[ "$fat" != 0 ] || fat=$(little "$boot" 36 4)
entries=$(little "$boot" 17 2)
root=$((start + $(little "$boot" 14 2) + $(little "$boot" 16 1) * fat))
data=$((root + entries * 32 / 512))

# entry prints the directory entry NAME (11 characters) of the directory whose sectors are given.
entry() { lines "$1" "$2" 32 | first "$(printf %s "$3" | od -An -v -tx1 -w16 | tr -d ' ')"; }

# inside prints the first sector of what an entry stands for.
inside() { echo $((data + ($(little "$1" 20 2) * 65536 + $(little "$1" 26 2) - 2) * cluster)); }

if [ "$entries" = 0 ]; then
	at=$((data + ($(little "$boot" 44 4) - 2) * cluster)) sectors=$cluster
else
	at=$root sectors=$((data - root))
fi
for name in 'EFI        ' 'BOOT       '; do
	found=$(entry "$at" "$sectors" "$name") || exit 0
	at=$(inside "$found") sectors=$cluster
done
if entry "$at" "$sectors" 'BOOTX64 EFI' >/dev/null; then echo amd64; fi
if entry "$at" "$sectors" 'BOOTAA64EFI' >/dev/null; then echo arm64; fi
