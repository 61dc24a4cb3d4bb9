#!/usr/bin/env bash
# Sets the order in which the firmware tries its boot entries, and takes back a choice for the next boot alone. No entry
# is deleted.
#
#   boot-order.sh ORDER      (numbers as efibootmgr prints them: 0001,0004)
set -euo pipefail

vars=/sys/firmware/efi/efivars
if ! grep -qE "^[^ ]+ $vars [^ ]+ rw" /proc/mounts; then # rescue systems have it read-only
	mount -o remount,rw "$vars"
	trap 'mount -o remount,ro "$vars"' EXIT
fi
case $(efibootmgr) in *BootNext:*) efibootmgr -q -N ;; esac
efibootmgr -q -o "$1"
kept=$(efibootmgr)
grep -qix "BootOrder: $1" <<<"$kept" || { echo "the firmware does not keep the boot order $1" >&2; exit 74; }
