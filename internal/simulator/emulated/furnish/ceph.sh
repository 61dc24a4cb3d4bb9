#!/usr/bin/env bash
# What tells that a disk is an OSD of Ceph's.
set -euo pipefail
printf 'bluestore block device\n1b2c3d4e-0000-4000-8000-00000000cef0\n' | dd of="$1" conv=notrunc status=none
udevadm trigger --settle "$1"
