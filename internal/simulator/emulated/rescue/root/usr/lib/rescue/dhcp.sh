#!/bin/sh
# What udhcpc calls with a lease.
# shellcheck disable=SC2154 # udhcpc sets them
[ "$1" = bound ] || exit 0
ip addr add "$ip/${mask:-24}" broadcast "${broadcast:-+}" dev "$interface"
ip route replace default via "$router" dev "$interface"
for server in $dns; do echo "nameserver $server"; done >/etc/resolv.conf
