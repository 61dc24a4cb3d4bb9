#!/bin/sh
# Builds the real kube-apiserver (with etcd inside) for tests to bin/kube-apiserver of the repository, or to the file
# given as the first argument. Does nothing if that is there; remove it to build anew. Takes some 400 seconds of a
# processor the first time, and about 110 MB.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/../../bin/kube-apiserver}
case $out in /*) ;; *) out=$PWD/$out ;; esac
if [ -x "$out" ]; then
	exit 0
fi
mkdir -p "$(dirname "$out")"
cd "$here"
version=v1.36.3
base=k8s.io/component-base/version
CGO_ENABLED=0 go build -trimpath -o "$out.part" -ldflags "-s -w \
	-X $base.gitVersion=$version -X $base.gitMajor=1 -X $base.gitMinor=36 -X $base.gitTreeState=clean" .
mv "$out.part" "$out"
