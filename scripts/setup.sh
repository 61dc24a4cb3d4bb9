#!/usr/bin/env bash
# Sees to it that the tests' peers are there: Postgres, shellcheck, OpenSSH's client. Installs them from the system's packages
# where it may (Debian, root), else says what to install.
set -euo pipefail

missing=()
ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || command -v postgres >/dev/null || missing+=(postgresql)
command -v shellcheck >/dev/null || missing+=(shellcheck)
command -v ssh >/dev/null || missing+=(openssh-client)
command -v gcc >/dev/null || missing+=(gcc libc6-dev)

[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -q
	apt-get install -q -y --no-install-recommends "${missing[@]}"
	exit 0
fi
printf 'the tests need: %s\nInstall them with your package manager, as: sudo apt-get install %s\n' "${missing[*]}" "${missing[*]}" >&2
exit 1
