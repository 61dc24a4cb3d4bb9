#!/usr/bin/env bash
# Debian's kernel for the emulated machine: kernel/vmlinuz, kernel/release, and in kernel/modules/lib/modules/RELEASE
# the modules named here with all that they need.
set -euo pipefail
# shellcheck source=scripts/emulated-lib.sh
. "$(dirname "$0")/emulated-lib.sh"

modules=(
	virtio_pci virtio_blk virtio_scsi virtio_net virtio_rng ahci sd_mod sr_mod nvme usb_storage
	e1000 e1000e af_packet sch_netem dummy vfat nls_ascii nls_cp437 nls_utf8 xfs ext4 squashfs overlay loop 9p 9pnet_virtio
	md_mod raid0 raid1 raid10 raid456 dm_mod dm_crypt dm_mirror dm_snapshot dm_thin_pool xts ecb cbc aesni_intel sha256_generic algif_skcipher algif_hash
	efivarfs qemu_fw_cfg button rtc_cmos crc32c_generic crc32c_intel crc32_pclmul libcrc32c softdog nfnetlink fuse
)

fresh kernel "$0" && exit 0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
packages bookworm "$work/deb" linux-image-amd64
mkdir "$work/tree"
(cd "$work/tree" && unpack "$work"/deb/linux-image-6*.deb)
release=$(basename "$work"/tree/lib/modules/*)
depmod -b "$work/tree" "$release"

# The modules with all that they need, in a tree of their own.
to=$out/modules/lib/modules/$release
mkdir -p "$to"
cp "$work/tree/lib/modules/$release"/modules.{builtin,builtin.modinfo,order} "$to"
for module in "${modules[@]}"; do
	modprobe -d "$work/tree" -S "$release" --show-depends --ignore-install "$module" 2>/dev/null || echo "$module: no such module" >&2
done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | sort -u | while read -r file; do
	install -D -m 644 "$file" "$out/modules/${file#"$work/tree/"}"
done
depmod -b "$out/modules" "$release"
cp "$work/tree/boot/vmlinuz-$release" "$out/vmlinuz"
echo "$release" >"$out/release"
built kernel
