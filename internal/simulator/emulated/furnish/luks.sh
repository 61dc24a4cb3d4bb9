#!/usr/bin/env bash
# An encrypted partition, open as "secret", with a file system in it. The key derivation is the cheapest there is.
set -euo pipefail
sgdisk --zap-all "$1" >/dev/null
sgdisk -n 1:0:+256M -t 1:8309 "$1" >/dev/null
udevadm settle
part=$(lsblk -nrpo NAME "$1" | sed -n 2p)
printf opensesame | cryptsetup luksFormat -q --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --label vault "$part" -
printf opensesame | cryptsetup open --key-file - "$part" secret
mkfs.ext4 -q /dev/mapper/secret
udevadm settle
