#!/bin/sh
# The words of systemctl that end a rescue system. There is no systemd here: it takes too long on an emulated processor.
case $1 in
reboot | poweroff | halt) exec "/usr/sbin/$1" ;;
kexec)
	/usr/lib/rescue/stop.sh
	exec kexec -e
	;;
is-system-running) echo running ;;
*)
	echo "systemctl $1: the emulated rescue system knows reboot, poweroff, halt, kexec" >&2
	exit 1
	;;
esac
