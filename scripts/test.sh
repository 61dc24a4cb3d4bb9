#!/usr/bin/env bash
# make test: set up, lint, and run every test with the race detector. One runs without it: killing an install at each
# of its some seventy points takes a minute on two cores, with the race detector ten, and it races nobody.
set -euo pipefail
cd "$(dirname "$0")/.."

slow=TestAnInstallSurvivesDeathAtEveryPoint
bash scripts/setup.sh
if [ -z "${TALOS_MANAGER_KUBE_APISERVER:-}" ]; then
	bash tools/kube-apiserver/build.sh
fi
bash scripts/lint.sh
echo "build with the race detector"
go build -race ./...
echo "test"
# One package after the other: many start a whole simulated Hetzner or a Postgres, and some of their promises are times.
go test -race -p 1 -parallel 4 -timeout 20m -skip "^$slow\$" ./...
go test -parallel 8 -timeout 10m -run "^$slow\$" ./internal/operation
