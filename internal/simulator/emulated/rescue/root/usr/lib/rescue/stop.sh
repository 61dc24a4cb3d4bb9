#!/bin/sh
# Leaves nothing half-written: what is mounted, assembled or open on disks is let go, as far as it lets go soon.
echo "rescue: going down" >/dev/console
killall -q sshd
timeout 20 swapoff -a 2>/dev/null
timeout 20 sync
while read -r device dir _; do
	case $device in /dev/loop0) ;; /dev/*) echo "$dir" ;; esac
done </proc/mounts | tac | while read -r dir; do timeout 20 umount "$dir"; done
timeout 20 vgchange -qan >/dev/null 2>&1 || echo "rescue: a volume group stays" >/dev/console
timeout 20 mdadm --stop --scan >/dev/null 2>&1 || echo "rescue: an array stays" >/dev/console
timeout 20 sync
echo "rescue: down" >/dev/console
