#!/usr/bin/env bash
# What tells that a disk belongs to the ZFS pool "tank": the first label of four, with its name and its uberblocks. There
# is no pool in it, as Hetzner's rescue system has no ZFS either. Layout: libblkid's superblocks/zfs.c.
set -euo pipefail
# A variable of the list: its encoded and decoded size, its name, its type (8 is a number, 9 a string), one element.
perl -e '
	sub padded { my $s = shift; pack("N", length $s) . $s . "\0" x (-length($s) % 4) }
	sub pair { my ($name, $type, $value) = @_; my $rest = padded($name) . pack("NN", $type, 1) . $value; pack("NN", 8 + length $rest, 64) . $rest }
	print pack("C4NN", 1, 1, 0, 0, 0, 1), pair("name", 9, padded("tank")), pair("pool_guid", 8, pack("Q>", 1234567890123456789)), pack("NN", 0, 0);
' | dd of="$1" bs=1k seek=16 conv=notrunc status=none
for slot in 0 1 2 3 4 5 6 7; do
	perl -e 'print pack("Q<Q<", 0x00bab10c, 5000)' | dd of="$1" bs=1k seek=$((128 + slot)) conv=notrunc status=none
done
udevadm trigger --settle "$1"
