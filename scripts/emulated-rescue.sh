#!/usr/bin/env bash
# The rescue system of the emulated machine: a Debian userland with the tools that Hetzner's has, laid out from packages
# without being installed (no root, no chroot). rescue/root.squashfs and the small rescue/initrd that mounts it.
set -euo pipefail
# shellcheck source=scripts/emulated-lib.sh
. "$(dirname "$0")/emulated-lib.sh"

tools=(
	bash dash coreutils util-linux util-linux-extra mount fdisk gdisk parted findutils grep sed mawk diffutils tar gzip bzip2 xz-utils zstd perl-base
	curl wget ca-certificates openssl openssh-server openssh-client openssh-sftp-server iproute2 iputils-ping ethtool netbase pciutils dmidecode
	udev kmod procps psmisc hostname ncurses-bin debianutils base-files base-passwd libc-bin login passwd less
	mdadm lvm2 dmsetup cryptsetup-bin smartmontools nvme-cli efibootmgr dosfstools xfsprogs e2fsprogs kexec-tools busybox-static
)

inputs=("$0" "$root/scripts/emulated-kernel.sh" "$root/scripts/emulated-systemd-boot.sh")
while read -r file; do inputs+=("$file"); done < <(find "$root/internal/simulator/emulated/rescue" -type f | sort)
fresh rescue "${inputs[@]}" && exit 0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
packages bookworm "$work/deb" "${tools[@]}"

tree=$work/tree
mkdir -p "$tree"/usr/{bin,sbin,lib,lib64,lib32,libx32}
ln -s usr/bin usr/sbin usr/lib usr/lib64 "$tree"
(cd "$tree" && unpack "$work"/deb/*.deb)

# What the packages' own scripts would have done.
mkdir -p "$tree"/{dev,proc,sys,run,tmp,mnt,nfsroot,ramfs,root,boot,var/{tmp,log,lib}} "$tree/root/.oldroot/nfs"
cp "$tree/usr/share/base-passwd/passwd.master" "$tree/etc/passwd"
cp "$tree/usr/share/base-passwd/group.master" "$tree/etc/group"
sed -i 's|^root:.*|root:*:0:0:root:/root:/bin/bash|' "$tree/etc/passwd"
echo 'sshd:x:100:65534::/run/sshd:/usr/sbin/nologin' >>"$tree/etc/passwd"
cp "$tree/usr/share/libc-bin/nsswitch.conf" "$tree/etc/nsswitch.conf"
cp "$tree"/usr/share/base-files/dot.* "$tree/root/" && mv "$tree/root/dot.bashrc" "$tree/root/.bashrc" && mv "$tree/root/dot.profile" "$tree/root/.profile"
printf '%s\n' /usr/local/lib/x86_64-linux-gnu /lib/x86_64-linux-gnu /usr/lib/x86_64-linux-gnu >"$tree/etc/ld.so.conf"
find "$tree/usr/share/ca-certificates" -name '*.crt' -exec cat {} + >"$tree/etc/ssl/certs/ca-certificates.crt"
ln -sf mawk "$tree/usr/bin/awk"
[ -e "$tree/usr/bin/sh" ] || ln -s dash "$tree/usr/bin/sh"
ln -sf /proc/mounts "$tree/etc/mtab"

# busybox is the init, and what Debian's packages lack without systemd.
for name in init reboot poweroff halt udhcpc; do
	ln -sf ../bin/busybox "$tree/usr/sbin/$name"
done
cp -r "$root/internal/simulator/emulated/rescue/root/." "$tree/"
chmod +x "$tree"/usr/lib/rescue/*.sh
ln -s ../lib/rescue/systemctl.sh "$tree/usr/sbin/systemctl"
cp -r "$cache/kernel/modules/lib/modules" "$tree/usr/lib/"
ldconfig -r "$tree" 2>/dev/null
rm -rf "$tree"/usr/share/{doc,man,info,locale,lintian,bash-completion} "$tree"/usr/lib/systemd/systemd
mksquashfs "$tree" "$out/root.squashfs" -all-root -comp lz4 -no-progress -quiet -no-xattrs

initrd=$work/initrd
release=$(cat "$cache/kernel/release")
mkdir -p "$initrd"/{bin,dev,proc,sys} "$initrd/lib/modules/$release"
cp "$tree/usr/bin/busybox" "$initrd/bin/"
for name in sh mount modprobe mkdir losetup switch_root echo; do ln -s busybox "$initrd/bin/$name"; done
for module in virtio_pci 9pnet_virtio 9p loop squashfs overlay; do
	modprobe -d "$cache/kernel/modules" -S "$release" --show-depends --ignore-install "$module"
done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | sort -u | while read -r file; do
	install -D -m 644 "$file" "$initrd/${file#"$cache/kernel/modules/"}"
done
cp "$cache/kernel/modules/lib/modules/$release"/modules.{order,builtin,builtin.modinfo} "$initrd/lib/modules/$release/"
depmod -b "$initrd" "$release"
install -m 755 "$root/internal/simulator/emulated/rescue/init.sh" "$initrd/init"
(cd "$initrd" && find . | cpio --quiet -o -H newc -R 0:0) >"$out/initrd"
# For tests: a boot loader for a disk, a kernel for kexec.
cp "$cache/systemd-boot/systemd-bootx64.efi" "$out/loader.efi"
cp "$cache/kernel/vmlinuz" "$out/vmlinuz"
built rescue
