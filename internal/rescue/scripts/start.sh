#!/usr/bin/env bash
# Starts write-image.sh or load-kernel.sh detached, unless it runs or ran for the same TOKEN already. Exit 73: another
# operation writes here. The lock is taken here and inherited by what is started, so that there is no moment in which a
# write was started and does not hold it.
#
#   start.sh SCRIPT TOKEN ARGUMENT…
set -eu

run=/run/talos-manager
script=$1
shift
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
setsid nohup bash "$run/$script" "$@" >"$run/log" 2>&1 </dev/null &
