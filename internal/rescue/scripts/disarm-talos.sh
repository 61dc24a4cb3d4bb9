#!/usr/bin/env bash
# Hides a partition of an earlier Talos from the new one, which looks for META, STATE and the like by their labels on all
# disks: renames it in the partition table. Nothing in it is touched; the opposite, by hand: sgdisk -c NUMBER:LABEL DISK
#
#   disarm-talos.sh DISK NUMBER LABEL      (DISK is /dev/…)
set -euo pipefail

sgdisk -c "$2:$3" "$1" >/dev/null
# The kernel does not look at a table again while a partition is in use; the new label counts from the next boot.
blockdev --rereadpt "$1" 2>/dev/null || true
kept=$(sgdisk -i "$2" "$1")
grep -qF "Partition name: '$3'" <<<"$kept" || { echo "partition $2 of $1 keeps its label" >&2; exit 74; }
