#!/usr/bin/env bash
# Builds all parts of the emulated machine that tests run on, into bin/emulated of the repository (or where
# TALOS_MANAGER_EMULATED says). What is there already, from the same sources, stays.
set -euo pipefail
# shellcheck source=scripts/emulated-lib.sh
. "$(dirname "$0")/emulated-lib.sh"
for part in kernel systemd-boot rescue; do
	bash "$root/scripts/emulated-$part.sh"
done
rm -rf "$cache"/apt-* # lists of packages, of no use any more
