#!/usr/bin/env bash
# Prints how write-image.sh stands: its state, whether it runs, and the end of its log.
run=/run/talos-manager
cat "$run/state" 2>/dev/null
if flock -n "$run/lock" true 2>/dev/null; then echo running=no; else echo running=yes; fi
if [ -f "$run/dd" ]; then
	echo "bytes=$(tail -c 200 "$run/dd" | tr '\r' '\n' | sed -n 's/^\([0-9][0-9]*\) bytes.*/\1/p' | tail -n 1)"
fi
echo log=
if [ -f "$run/log" ]; then tail -c 2000 "$run/log"; fi
exit 0
