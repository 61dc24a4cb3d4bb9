#!/usr/bin/env bash
# make test: set up, lint, and run every test with the race detector. Some run without it: those of internal/operation take
# two minutes on two cores, with the race detector fifteen, and what they run is run with it by those of demo and cmd; in
# those with an emulated machine the time goes by in the emulator; most of those of internal/web ask for pages one after the
# other, so with it run those in which things happen at once; and what is pure has nothing that could race.
#
# Some promises are times, and a busy machine can break them: a package that fails is run once more, alone. Both results
# are shown, and a second failure is final.
set -euo pipefail
cd "$(dirname "$0")/.."

slow=TestAnInstallSurvivesDeathAtEveryPoint
emulated='TestAnEmulatedServerIsInstalledAndGetsItsConfigOnce|TestLeftoversOnRealDisksAreSeenAndClearedAway|TestAnImageIsWrittenOverALiveMirrorOfARealMachine'
atonce='Stream|Change|Watch|Browsers|AtOnce|Log|Goes|Turns' # of internal/web
calm='/internal/machineconfig/|/internal/operation$|/internal/web$'
machines=/internal/simulator/emulated

# run is go test with these arguments over the packages, and once more for each that failed. What fails twice is final,
# but the rest is still tested.
failed=0
run() {
	local log package status=0 again=()
	log=$(mktemp)
	if ! go test -p 1 "${arguments[@]}" "$@" 2>&1 | tee "$log"; then
		mapfile -t again < <(sed -n 's/^FAIL[[:space:]]\{1,\}\(github[^[:space:]]*\).*/\1/p' "$log" | sort -u)
		[ "${#again[@]}" -gt 0 ] || status=1
		for package in "${again[@]}"; do
			echo "once more, alone: $package"
			go test "${arguments[@]}" -parallel 2 -count=1 "$package" || status=1
		done
	fi
	rm -f "$log"
	return "$status"
}

bash scripts/setup.sh
(cd tools/web && npm ci --silent --no-audit --no-fund)
if [ -z "${TALOS_MANAGER_KUBE_APISERVER:-}" ]; then
	bash tools/kube-apiserver/build.sh
fi
if ! bash scripts/emulated-build.sh; then
	echo "NOT ALL IS TESTED HERE: the parts of the emulated machine could not be built" >&2
	[ -z "${CI:-}" ]
fi
bash scripts/lint.sh

mapfile -t all < <(go list ./...)
mapfile -t racing < <(printf '%s\n' "${all[@]}" | grep -v -E -e "$calm" -e "$machines")
mapfile -t quiet < <(printf '%s\n' "${all[@]}" | grep -E "$calm")
echo "build with the race detector"
go build -race "${racing[@]}"

echo "test"
# One package after the other: many start a whole simulated Hetzner or a Postgres.
arguments=(-race -parallel 4 -timeout 15m -skip "^($slow|$emulated)\$")
run "${racing[@]}" || failed=1
arguments=(-race -parallel 4 -timeout 15m -run "$atonce")
run ./internal/web || failed=1

# Operations mostly wait for a simulated world: meanwhile the emulator has the processors.
echo "test without the race detector, and on emulated machines"
arguments=(-parallel 4 -timeout 15m -skip "^$slow\$")
run "${quiet[@]}" &
quietly=$!
arguments=(-parallel 2 -timeout 15m)
run ./internal/simulator/emulated/... || failed=1
arguments+=(-run "^($emulated)\$")
run ./internal/rescue ./cmd/talos-manager || failed=1
wait "$quietly" || failed=1

echo "test that nothing is lost"
go test -parallel 8 -timeout 10m -run "^$slow\$" ./internal/operation || failed=1
exit "$failed"
