#!/usr/bin/env bash
# Starts write-image.sh detached, unless it runs or ran for the same TOKEN already. Exit 73: another operation
# writes here. The lock is taken here and inherited by write-image.sh, so that there is no moment in which a write
# was started and does not hold it.
#
#   start-write.sh TOKEN DISK URL FORMAT [SHA256 [PATIENCE]]
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
setsid nohup bash "$run/write-image.sh" "$@" >"$run/log" 2>&1 </dev/null &
