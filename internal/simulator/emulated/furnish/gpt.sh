#!/usr/bin/env bash
# A partition table with one empty partition.
set -euo pipefail
sgdisk --zap-all "$1" >/dev/null
sgdisk -n 1:0:+1G -c 1:data "$1" >/dev/null
udevadm settle
