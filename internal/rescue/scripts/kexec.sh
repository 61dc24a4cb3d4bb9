#!/usr/bin/env bash
# Starts the kernel that load-kernel.sh loaded, in a moment: who asked for it can hang up first. Nothing is shut down in
# the rescue system, which has nothing to lose but its network: file systems are written and let go of.
#
#   kexec.sh TOKEN
#
# Exit 70: no kernel was loaded for TOKEN.
set -eu

run=/run/talos-manager
{ grep -qx "token=$1" "$run/state" && grep -qx 'phase=loaded' "$run/state" && [ "$(cat /sys/kernel/kexec_loaded)" = 1 ]; } || {
	echo "no kernel is loaded for this operation" >&2
	exit 70
}
sync
# -x leaves the network interfaces to the kernel: the program itself may still have to be read over the network.
setsid nohup bash -c 'sleep 2; sync; kexec -e -x' >/dev/null 2>&1 </dev/null &
