#!/usr/bin/env bash
# make test: set up, lint, and run every test with the race detector.
set -euo pipefail
cd "$(dirname "$0")/.."

bash scripts/setup.sh
if [ -z "${TALOS_MANAGER_KUBE_APISERVER:-}" ]; then
	bash tools/kube-apiserver/build.sh
fi
bash scripts/lint.sh
echo "test"
go test -race -parallel 8 -timeout 20m ./...
