#!/usr/bin/env bash
# Prints figures: all benchmarks, or those of one name (start, sync, installs, render, …), with their goals beside them.
set -euo pipefail
cd "$(dirname "$0")/.."

name=${1:-}
case $name in
'') pattern=. ;;
*) pattern="(?i)^Benchmark${name}" ;;
esac
log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
go test -run '^$' -bench "$pattern" -benchtime 1x -timeout 30m \
	./internal/demo ./internal/store ./internal/workflow ./internal/web ./internal/machineconfig ./internal/bootconfig ./internal/manage \
	>"$log" 2>&1 || status=$?
grep -v -E '^(PASS|ok|\?|goos|goarch|pkg|cpu)' "$log" || [ "$status" -ne 0 ] || echo "there is no benchmark of the name $name"
exit "$status"
