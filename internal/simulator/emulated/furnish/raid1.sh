#!/usr/bin/env bash
# What Hetzner's installimage makes: a mirror md0 for swap and md1 with ext4, over partitions of two disks or more.
# Running, as after a boot.
set -euo pipefail
zero=() one=()
for disk; do
	sgdisk --zap-all "$disk" >/dev/null
	sgdisk -n 1:0:+128M -t 1:fd00 -n 2:0:+512M -t 2:fd00 "$disk" >/dev/null
	udevadm settle
	zero+=("$(lsblk -nrpo NAME "$disk" | sed -n 2p)")
	one+=("$(lsblk -nrpo NAME "$disk" | sed -n 3p)")
done
# --assume-clean: nothing is to be copied, all of it is zero.
mdadm --create /dev/md0 --quiet --run --assume-clean --level=1 --metadata=1.2 --homehost=rescue --name=0 --raid-devices=$# "${zero[@]}"
mdadm --create /dev/md1 --quiet --run --assume-clean --level=1 --metadata=1.2 --homehost=rescue --name=1 --raid-devices=$# "${one[@]}"
mkswap -q /dev/md0
mkfs.ext4 -q -L root /dev/md1
udevadm settle
