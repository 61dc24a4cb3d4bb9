#!/usr/bin/env bash
# An XFS on the whole disk, without a partition table.
set -euo pipefail
mkfs.xfs -q -f -L backup "$1"
udevadm settle
