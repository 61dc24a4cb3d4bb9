#!/usr/bin/env bash
# Prints what this machine is, in sections, in one round trip. It changes nothing.
set -u

section() { printf '\n==> %s\n' "$1"; }

section hostname
hostname
section root
mount | grep ' on / '
section motd
cat /etc/motd 2>/dev/null
section uuid
cat /sys/class/dmi/id/product_uuid 2>/dev/null || dmidecode -s system-uuid
section system
dmidecode -t system 2>/dev/null
section firmware
if [ -d /sys/firmware/efi ]; then echo uefi; else echo bios; fi
section cpu
grep -m 1 'model name' /proc/cpuinfo || lscpu | grep -m 1 'Model name' # ARM's cpuinfo has no names
section cores
grep -c '^processor' /proc/cpuinfo
section memory
grep MemTotal /proc/meminfo
section lsblk
lsblk -J -b -o NAME,TYPE,SIZE,MODEL,SERIAL,WWN,RO,ROTA,TRAN,FSTYPE,LABEL,PARTLABEL
section addresses
ip -j addr
section routes
ip -j route
exit 0
