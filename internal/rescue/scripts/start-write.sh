#!/usr/bin/env bash
# Starts write-image.sh detached, unless it runs or ran for the same TOKEN already. Exit 73: another operation
# writes here.
#
#   start-write.sh TOKEN DISK URL DECOMPRESSOR [SHA256]
set -eu

run=/run/talos-manager
if [ -f "$run/state" ] && grep -qx "token=$1" "$run/state"; then
	exit 0
fi
flock -n -E 73 "$run/lock" true
printf 'token=%s\nphase=starting\nexit=\n' "$1" >"$run/state"
setsid nohup flock -n "$run/lock" bash "$run/write-image.sh" "$@" >"$run/log" 2>&1 </dev/null &
