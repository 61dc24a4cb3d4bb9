#!/usr/bin/env bash
# make test: set up, lint, and run every test with the race detector. One runs without it: killing an install at each
# of its some seventy points takes a minute on two cores, with the race detector ten, and it races nobody.
#
# Some promises are times, and a busy machine can break them: a package that fails is run once more, alone. Both results
# are shown, and a second failure is final.
set -euo pipefail
cd "$(dirname "$0")/.."

slow=TestAnInstallSurvivesDeathAtEveryPoint
bash scripts/setup.sh
if [ -z "${TALOS_MANAGER_KUBE_APISERVER:-}" ]; then
	bash tools/kube-apiserver/build.sh
fi
if ! bash scripts/emulated-build.sh; then
	echo "NOT ALL IS TESTED HERE: the parts of the emulated machine could not be built" >&2
	[ -z "${CI:-}" ]
fi
bash scripts/lint.sh
echo "build with the race detector"
go build -race ./...

echo "test"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# One package after the other: many start a whole simulated Hetzner or a Postgres.
if ! go test -race -p 1 -parallel 4 -timeout 15m -skip "^$slow\$" ./... 2>&1 | tee "$log"; then
	failed=$(sed -n 's/^FAIL[[:space:]]\{1,\}\(github[^[:space:]]*\).*/\1/p' "$log" | sort -u)
	[ -n "$failed" ] || exit 1
	echo "once more, alone: $failed"
	for package in $failed; do
		go test -race -count=1 -parallel 2 -timeout 15m -skip "^$slow\$" "$package"
	done
fi
go test -parallel 8 -timeout 10m -run "^$slow\$" ./internal/operation
