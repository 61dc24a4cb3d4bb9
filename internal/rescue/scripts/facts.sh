#!/usr/bin/env bash
# Prints what this machine is, in sections, in one round trip:
#
#   facts.sh PROGRAM...
#
# It changes nothing: what it mounts, to see which Talos and which boot loaders are there, it mounts read-only, without
# replaying a journal, and unmounts again. Of an earlier Talos it prints the cluster's name, id and endpoint and the
# host's name, and nothing else of its config. It names the PROGRAMs that this system lacks.
set -u

section() { printf '\n==> %s\n' "$1"; }

# slow runs what may hang on a broken disk. What it prints is cut, and what it says of errors is of no use.
slow() { timeout 60 "$@" 2>/dev/null </dev/null | head -c 400000; }

# line prints the first line of a file of sysfs as NAME=VALUE, without what is not text.
line() {
	[ -r "$2" ] || return 0
	printf '%s=%s\n' "$1" "$(head -c 300 "$2" 2>/dev/null | tr -cd '[:print:]')"
}

section clock
date +%s.%N
section hostname
hostname
section root
mount | grep ' on / '
section mounts
cat /proc/mounts
section filesystems # in use by the kernel, even if no mount shows them: see foreign.go
for used in /sys/fs/ext4/* /sys/fs/xfs/* /sys/fs/f2fs/* /sys/fs/btrfs/*/devices/*; do
	[ ! -e "$used" ] || printf '%s\n' "${used##*/}"
done
section motd
head -c 8192 /etc/motd 2>/dev/null
section uuid
cat /sys/class/dmi/id/product_uuid 2>/dev/null || dmidecode -s system-uuid
section system
dmidecode -t system 2>/dev/null | head -c 8192
section dmi
for name in sys_vendor product_name product_serial board_vendor board_name board_serial; do
	line "$name" "/sys/class/dmi/id/$name"
done
section firmware
if [ -d /sys/firmware/efi ]; then echo uefi; else echo bios; fi
section secureboot
od -An -tu1 -j4 -N1 /sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c 2>/dev/null
section uefi
if [ -d /sys/firmware/efi ]; then slow efibootmgr -v; fi
section cpu
grep -m 1 'model name' /proc/cpuinfo || lscpu | grep -m 1 'Model name' # ARM's cpuinfo has no names
section cores
grep -c '^processor' /proc/cpuinfo
section memory
grep '^MemTotal:' /proc/meminfo

section lsblk
slow lsblk -J -b -o NAME,TYPE,SIZE,MODEL,SERIAL,WWN,RO,ROTA,TRAN,LOG-SEC,FSTYPE,LABEL,UUID,PTTYPE,PARTTYPE,PARTUUID,PARTLABEL,MOUNTPOINT
section sysfs
for disk in /sys/block/*; do
	case ${disk##*/} in loop* | ram* | zram* | sr* | fd* | md* | dm-* | nbd*) continue ;; esac
	echo "disk=${disk##*/}"
	for name in wwid device/wwid serial device/serial; do line "$name" "$disk/$name"; done
	# Of the boot sector: the beginning of its code, and its mark.
	printf 'boot=%s\n' "$(slow head -c 512 "/dev/${disk##*/}" | od -An -v -tx1 | tr -d ' \n' | sed 's/^\(....\).*\(....\)$/\1\2/')"
	# The SCSI page of the serial number, behind its head of four bytes.
	if [ -r "$disk/device/vpd_pg80" ]; then
		printf 'vpd80=%s\n' "$(tail -c +5 "$disk/device/vpd_pg80" 2>/dev/null | head -c 100 | tr -cd '[:print:]')"
	fi
done
# lsblk knows what udev knows, which may be late, or not run: the devices are asked, too.
devices=$(lsblk -nrpo NAME,TYPE 2>/dev/null | grep -vE ' (loop|rom)$' | cut -d ' ' -f 1 | sort -u | head -n 500)
section blkid
# shellcheck disable=SC2086 # one word a device
[ -z "$devices" ] || slow blkid -p -o export $devices
section wipefs
# shellcheck disable=SC2086
[ -z "$devices" ] || slow wipefs -n -J $devices
section mdstat
head -c 65536 /proc/mdstat 2>/dev/null
section mdadm
slow mdadm --examine --scan --verbose
section pvs
slow pvs --noheadings --nosuffix --separator '|' -o pv_name,vg_name,vg_uuid,vg_missing_pv_count

# look mounts a device read-only, runs a command in it, and unmounts it.
look() {
	local device=$1 kind=$2 options=$3 at
	shift 3
	at=$(mktemp -d) || return 0
	if timeout 60 mount -t "$kind" -o "$options" "$device" "$at" 2>/dev/null </dev/null; then
		(cd "$at" && "$@")
		umount "$at"
	else
		echo "unreadable=yes"
		umount "$at" 2>/dev/null # it was only too slow
	fi
	rmdir "$at"
}

# shellcheck disable=SC2317 # look calls it
# talos prints the names in the config of an earlier Talos, whatever its indentation. Since 1.14 they stand in documents of
# their own.
talos() {
	[ -f config.yaml ] || return 0
	echo config=yes
	{
		sed -n '/^cluster:/,/^[a-z-]/{
			s/^ \{1,8\}clusterName: */cluster=/p
			s/^ \{1,4\}id: */id=/p
			/^ *controlPlane:/,/endpoint:/s/^ *endpoint: */endpoint=/p
		}
		s/^clusterName: */cluster=/p
		s/^clusterID: */id=/p
		/^kind: KubeClusterConfig/,/^---/s/^endpoint: */endpoint=/p' config.yaml | head -c 2000
		sed -n '/^machine:/,/^[a-z-]/{
			/^ *network:/,$s/^ \{2,8\}hostname: */hostname=/p
		}
		s/^hostname: */hostname=/p' config.yaml | head -n 1 | head -c 500
	} 2>/dev/null
}

# shellcheck disable=SC2317 # look calls it
loaders() {
	for entry in EFI/*; do # FAT knows no case
		[ ! -e "$entry" ] || printf 'loader=%s\n' "$entry"
	done | head -n 40
}

section talos
lsblk -nrpo NAME,PARTLABEL 2>/dev/null | while read -r device label; do
	[ "$label" = STATE ] || continue
	echo "device=${device##*/}"
	case $(blkid -p -s TYPE -o value "$device" 2>/dev/null) in
	crypto_LUKS) echo "encrypted=yes" ;;
	xfs) look "$device" xfs ro,norecovery talos ;;
	esac
done
section esp
lsblk -nrpo NAME,PARTTYPE 2>/dev/null | while read -r device type; do
	case $type in c12a7328-f81f-11d2-ba4b-00a0c93ec93b | C12A7328-F81F-11D2-BA4B-00A0C93EC93B | 0xef) ;; *) continue ;; esac
	echo "device=${device##*/}"
	top=$(lsblk -nrpo NAME "$device" | tail -n 1) # an array that stands on it holds it
	look "$top" vfat ro loaders
done

section addresses
ip -j addr
section links
for nic in /sys/class/net/*; do
	printf '%s %s %s\n' "${nic##*/}" "$(cat "$nic/carrier" 2>/dev/null || echo 0)" "$(cat "$nic/speed" 2>/dev/null || echo 0)"
done
section routes
ip -j route
section routes6
ip -j -6 route show default
section dhcp
# Who gave the address is known to the kernel's or the initramfs' own client, to networkd, or by the route.
if grep -qs 'ip=[^ ]*dhcp' /proc/cmdline || grep -qs '^PROTO=.*dhcp' /run/net-*.conf || ip -j route show default | grep -q '"dhcp"'; then echo yes; fi
section missing
for program in "$@"; do
	command -v "$program" >/dev/null || echo "$program"
done
exit 0
