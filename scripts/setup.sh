#!/usr/bin/env bash
# Sees to it that the tests' peers are there: Postgres, shellcheck, OpenSSH, QEMU, Chromium, npm. Installs them from the system's packages
# where it may (Debian, root), else says what to install.
set -euo pipefail

missing=()
ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || command -v postgres >/dev/null || missing+=(postgresql)
command -v shellcheck >/dev/null || missing+=(shellcheck)
command -v ssh >/dev/null || missing+=(openssh-client)
command -v gcc >/dev/null || missing+=(gcc libc6-dev)
command -v chromium >/dev/null || missing+=(chromium)
command -v npm >/dev/null || missing+=(npm)

# What the emulated machine runs on, and what its parts are built with and read by. A test that lacks it says so and is
# skipped, except in CI.
emulated=()
while read -r package path; do
	[ -e "$path" ] || command -v "$path" >/dev/null || [ -x "/usr/sbin/$path" ] || [ -x "/sbin/$path" ] || emulated+=("$package")
done <<'END'
qemu-system-x86 qemu-system-x86_64
ovmf /usr/share/OVMF/OVMF_CODE_4M.fd
squashfs-tools mksquashfs
cpio cpio
kmod depmod
mtools mcopy
xfsprogs mkfs.xfs
dosfstools mkfs.vfat
gdisk sgdisk
e2fsprogs mkfs.ext4
util-linux fallocate
iproute2 ip
mount losetup
fdisk sfdisk
curl curl
wget wget
zstd zstd
xz-utils xz
bzip2 bzip2
binutils objcopy
grub-common grub-mkimage
grub-pc-bin /usr/lib/grub/i386-pc/moddep.lst
openssh-server sshd
debian-archive-keyring /usr/share/keyrings/debian-archive-keyring.gpg
ca-certificates /etc/ssl/certs/ca-certificates.crt
END

[ ${#missing[@]} -eq 0 ] && [ ${#emulated[@]} -eq 0 ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -q
	# sshd is for tests that start one of their own; the system's shall not listen because of us.
	policy=/usr/sbin/policy-rc.d
	[ -e "$policy" ] || { printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy" && trap 'rm -f "$policy"' EXIT; }
	apt-get install -q -y --no-install-recommends "${missing[@]}" "${emulated[@]}"
	exit 0
fi
if [ ${#emulated[@]} -gt 0 ]; then
	printf 'NOT ALL IS TESTED HERE: tests on an emulated machine need: %s\n' "${emulated[*]}" >&2
	[ -n "${CI:-}" ] && exit 1
	[ ${#missing[@]} -eq 0 ] && exit 0
fi
printf 'the tests need: %s\nInstall them with your package manager, as: sudo apt-get install %s\n' "${missing[*]}" "${missing[*]}" >&2
exit 1
