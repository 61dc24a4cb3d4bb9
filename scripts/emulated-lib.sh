# shellcheck shell=bash
# Shared by the scripts that build the parts of the emulated machine: where they are kept, what is still good, and
# Debian packages of a fixed release whatever this machine runs. Sourced, never run.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${TALOS_MANAGER_EMULATED:-$root/bin/emulated}

# fresh PART INPUT...: is the part built, from just these files? Else it is to be made in the empty directory $out, and
# takes its place with "built": a machine that runs, or boots meanwhile, has the old one.
fresh() {
	local part=$1 stamp
	shift
	stamp=$(cat "$root/scripts/emulated-lib.sh" "$@" | sha256sum)
	[ "$(cat "$cache/$part/.stamp" 2>/dev/null)" = "$stamp" ] && return 0
	echo "emulated machine: $part"
	out=$cache/$part.new
	rm -rf "$out"
	mkdir -p "$out"
	echo "$stamp" >"$out/.stamp"
	return 1
}

# built PART: it is whole.
built() {
	rm -rf "${cache:?}/$1"
	mv "$out" "$cache/$1"
}

# packages SUITE DIRECTORY PACKAGE...: downloads Debian packages and all that they depend on as .deb files, signatures
# checked, beside and unknown to this machine's own packages.
packages() {
	local suite=$1 to=$2 dir=$cache/apt-$1
	shift 2
	mkdir -p "$dir/lists/partial" "$to/partial"
	: >"$dir/status"
	echo "deb [arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian $suite main" >"$dir/sources.list"
	local options=(
		-qq -o Dir::Etc::SourceList="$dir/sources.list" -o Dir::Etc::SourceParts=/dev/null -o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null
		-o Dir::State="$dir" -o Dir::State::Lists="$dir/lists" -o Dir::State::Status="$dir/status" -o Dir::State::extended_states="$dir/extended"
		-o Dir::Cache="$dir" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o Dir::Cache::Archives="$to" -o Dir::Log="$dir" -o APT::Architecture=amd64 -o APT::Architectures=amd64
		-o APT::Sandbox::User= -o Acquire::Retries=3 -o Acquire::Languages=none -o Debug::NoLocking=true
	)
	[ -n "$(find "$dir/lists" -name '*_Packages*' -mmin -60 -print -quit)" ] || apt-get "${options[@]}" update
	apt-get "${options[@]}" install --download-only --no-install-recommends -y "$@" >/dev/null
}

# unpack DEB... into the current directory, by at most two at a time. A link of the merged /usr stays a link.
unpack() {
	# shellcheck disable=SC2016 # the inner shell expands
	printf '%s\0' "$@" | xargs -0 -n 1 -P 2 sh -c 'dpkg-deb --fsys-tarfile "$1" | tar -x --keep-directory-symlink --no-same-owner' unpack
}
