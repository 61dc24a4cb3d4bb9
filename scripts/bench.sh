#!/usr/bin/env bash
# Prints figures: all benchmarks, or those of one name (start, sync, installs, render, facts, …), with their goals beside them.
set -euo pipefail
cd "$(dirname "$0")/.."

name=${1:-}
case $name in
'') pattern=. ;;
*) pattern="(?i)^Benchmark${name}" ;;
esac
status=$(mktemp)
trap 'rm -f "$status"' EXIT
{
	go test -run '^$' -bench "$pattern" -benchtime 1x -timeout 30m \
		./internal/demo ./internal/store ./internal/workflow ./internal/web ./internal/machineconfig ./internal/bootconfig ./internal/manage ./internal/rescue 2>&1 &&
		echo 0 >"$status"
} | grep -v -E '^(PASS|ok|\?|goos|goarch|pkg|cpu)' || true # nothing to print is no failure
[ "$(cat "$status")" = 0 ]
