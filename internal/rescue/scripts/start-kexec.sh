#!/usr/bin/env bash
# Starts load-kernel.sh detached, unless it runs or ran for the same TOKEN already. It takes the same lock as a writer
# of images does, and leaves its state at the same place. Exit 73: another operation writes here.
#
#   start-kexec.sh TOKEN DISK KERNEL INITRAMFS
set -eu

run=/run/talos-manager
exec 9>"$run/lock"
flock -n 9 || {
	grep -qx "token=$1" "$run/state" 2>/dev/null && exit 0
	exit 73
}
if grep -qx "token=$1" "$run/state" 2>/dev/null; then
	exit 0
fi
rm -f "$run/dd" "$run/log" "$run/passed"
printf 'token=%s\nphase=starting\nexit=\n' "$1" >"$run/state"
setsid nohup bash "$run/load-kernel.sh" "$@" >"$run/log" 2>&1 </dev/null &
