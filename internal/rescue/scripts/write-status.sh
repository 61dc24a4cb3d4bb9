#!/usr/bin/env bash
# Prints how write-image.sh stands: whether it runs, its state, and the end of its log. The lock is looked at before
# the state: a write that ends in between looks like one that still runs, never like one that was killed.
run=/run/talos-manager
if [ ! -e "$run/lock" ] || flock -n "$run/lock" true; then running=no; else running=yes; fi
cat "$run/state" 2>/dev/null
echo "running=$running"
if [ -f "$run/dd" ]; then
	echo "bytes=$(tail -c 200 "$run/dd" | tr '\r' '\n' | sed -n 's/^\([0-9][0-9]*\) bytes.*/\1/p' | tail -n 1)"
fi
echo log=
if [ -f "$run/log" ]; then tail -c 2000 "$run/log"; fi
exit 0
