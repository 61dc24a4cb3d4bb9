#!/usr/bin/env bash
# Prints how write-image.sh stands: whether it runs, its state, how far it came, and the end of its log. The lock is
# looked at before the state: a write that ends in between looks like one that still runs, never like one that was killed.
run=/run/talos-manager

# copied prints the bytes that a dd of ours has reported last.
copied() {
	if [ -f "$1" ]; then tail -c 200 "$1" | tr '\r' '\n' | sed -n 's/^\([0-9][0-9]*\) bytes.*/\1/p' | tail -n 1; fi
}

if [ ! -e "$run/lock" ] || flock -n "$run/lock" true; then running=no; else running=yes; fi
cat "$run/state" 2>/dev/null
echo "running=$running"
echo "time=$(date +%s)"
echo "passed=$(copied "$run/passed")"
echo "copied=$(copied "$run/dd")"
disk=$(sed -n 's|^disk=/dev/||p' "$run/state" 2>/dev/null)
if [ -n "$disk" ]; then
	read -ra stat <"/sys/block/$disk/stat"
	echo "sectors=${stat[6]:-}"
fi 2>/dev/null
echo log=
if [ -f "$run/log" ]; then tail -c 2000 "$run/log"; fi
exit 0
