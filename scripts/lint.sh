#!/usr/bin/env bash
# Vet, format, static analysis, shell scripts. The tools are built from modules at fixed versions.
set -euo pipefail
cd "$(dirname "$0")/.."

bin=$PWD/bin
mkdir -p "$bin"
(cd tools/lint && go build -o "$bin/staticcheck" honnef.co/go/tools/cmd/staticcheck && go build -o "$bin/gofumpt" mvdan.cc/gofumpt)

echo "vet"
go vet ./...
echo "gofumpt"
unformatted=$(git ls-files '*.go' | grep -v '_templ\.go$' | xargs "$bin/gofumpt" -l)
if [ -n "$unformatted" ]; then
	printf 'not formatted (gofumpt -w):\n%s\n' "$unformatted" >&2
	exit 1
fi
echo "staticcheck"
"$bin/staticcheck" ./...
echo "shellcheck"
git ls-files '*.sh' .ci/run | xargs shellcheck
