#!/usr/bin/env bash
# Builds all parts of the emulated machine that tests run on, into bin/emulated of the repository (or where
# TALOS_MANAGER_EMULATED says). What is there already, from the same sources, stays.
set -euo pipefail
cd "$(dirname "$0")"
for part in kernel systemd-boot rescue; do
	bash "./emulated-$part.sh"
done
