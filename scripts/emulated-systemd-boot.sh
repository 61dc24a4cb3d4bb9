#!/usr/bin/env bash
# systemd-boot/: systemd's boot loader and its stubs for unified kernel images and their addons. Addons came with 254,
# so these are Debian 13's, whatever this machine runs.
set -euo pipefail
# shellcheck source=scripts/emulated-lib.sh
. "$(dirname "$0")/emulated-lib.sh"

fresh systemd-boot "$0" && exit 0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
packages trixie "$work" systemd-boot-efi
mkdir "$work/tree"
(cd "$work/tree" && unpack "$work"/systemd-boot-efi_*.deb)
cp "$work"/tree/usr/lib/systemd/boot/efi/*x64* "$out/"
built systemd-boot
