#!/usr/bin/env bash
# Writes a Talos image to a disk and proves it. Started detached, under a lock, by start.sh:
#
#   write-image.sh TOKEN DISK URL FORMAT [SHA256 [PATIENCE]]
#
# TOKEN names the operation, DISK is /dev/…, FORMAT is zst, xz, gz or raw, SHA256 is of the file behind URL ("" if
# unknown), PATIENCE is how many seconds the link may be down before this gives up. The file is streamed, never stored; so
# with a SHA256 it is fetched twice, the first time before anything is lost.
# The old contents of DISK are gone once the phase is "wiping"; nothing on other disks is touched. When it fails after
# that, the disk's ends are blanked, so that nothing half written ever boots.
#
# State goes to /run/talos-manager/state, the log beside it. Exit 65: wrong checksum, 66: no such disk, 69: no image,
# 71: something holds the disk, 74: writing or reading the disk failed, 75: the disk is too small, 76: image of another
# architecture, 77: the clock is wrong, 78: no memory left for our own files.
set -euo pipefail

token=$1 disk=$2 url=$3 format=$4 sum=${5:-} patience=${6:-300}
run=/run/talos-manager
where=$(dirname "$0")

# What state shows: size is of the image in bytes and total of the file, "" while unknown; start and
# end are what the disk had taken before and after, in sectors.
total='' size='' way='' start='' end='' began='' restarts=0 digest=''

say() {
	printf 'token=%s\nphase=%s\nexit=%s\nbegan=%s\ntotal=%s\nsize=%s\nway=%s\nstart=%s\nend=%s\nrestarts=%s\nsha256=%s\ndisk=%s\n' \
		"$token" "$1" "$2" "$began" "$total" "$size" "$way" "$start" "$end" "$restarts" "$digest" "$disk"
}

# What is left of what was on the disk, as people are told.
now=starting touched='' fate=': nothing was written'

phase() {
	now=$1 began=$(date +%s)
	rm -f "$run/dd"
	{ say "$now" '' >"$run/state.new" && mv "$run/state.new" "$run/state"; } || fail 78 "no memory is left for files in $run"
	echo "$(date +%T.%3N) $now: $disk"
}

finish() {
	code=$?
	[ "$code" = 0 ] || [ -z "$touched" ] || blank
	{ say "$now" "$code" >"$run/state.new" && mv "$run/state.new" "$run/state"; } || say "$now" "$code" >"$run/state"
}
trap finish EXIT

# fail ends the script with a code and the one line that people read.
fail() {
	echo "$2$fate"
	exit "$1"
} >&2

# blank takes away both ends of the disk, where partition tables and boot code are.
blank() {
	local mib=$(($(blockdev --getsize64 "$disk" || echo 0) / 1048576))
	[ "$mib" -gt 1 ] || return 0
	dd if=/dev/zero of="$disk" bs=1M count=1 conv=fsync status=none || true
	dd if=/dev/zero of="$disk" bs=1M count=1 seek=$((mib - 1)) conv=fsync status=none || true
} 2>/dev/null

# ---- the file ------------------------------------------------------------------------------------------------------

# get runs curl with what every request has. Its last word, on stderr, is in $run/curl.
get() {
	curl -fsSL --connect-timeout 15 --speed-limit 1000 --speed-time 15 -w '%{stderr}got=%{size_download} code=%{http_code}\n' "$@" "$url" 2>"$run/curl"
}

word() { sed -n "s/.*$1=\([0-9][0-9]*\).*/\1/p" "$run/curl" | tail -n 1; }

# reason is curl's sentence, or the status of the server.
reason() {
	local text
	text=$(sed -n 's/^curl: ([0-9]*) //p' "$run/curl" | tail -n 1)
	echo "${text:-the server answers $(word code)}"
}

# lost says whether asking again is of no use.
lost() {
	case $1,$(word code) in
	22,408 | 22,429 | 22,5*) return 1 ;;
	22,* | 60,* | 3,* | 1,*) return 0 ;;
	esac
	return 1
}

# unavailable ends it when the file cannot be had. A certificate that is not valid yet or not any more often means that
# the clock of this machine is wrong: the server's own is asked, without trust, to tell.
unavailable() {
	local theirs ours
	ours=$(date -u +%s)
	if [ "$1" = 60 ] && theirs=$(date -u -d "$(curl -skI --max-time 15 "$url" | tr -d '\r' | sed -n 's/^[Dd]ate: //p' | tail -n 1)" +%s) &&
		[ $((ours - theirs > 3600 || theirs - ours > 3600)) = 1 ]; then
		fail 77 "the clock of this machine says $(date -u -d "@$ours" '+%F %R'), that of the image's server $(date -u -d "@$theirs" '+%F %R') UTC: no certificate is valid then, and $url cannot be had: $2"
	fi
	fail 69 "image $url cannot be had: $2"
}

# look asks for the first bytes of the file: whether it is there, what it is, how long, whether parts of it can be had.
ranges='' tag=''
look() {
	local code until
	until=$(($(date +%s) + (patience < 30 ? patience : 30)))
	while :; do
		code=0
		get -r 0-31 -D "$run/headers" | head -c 32 >"$run/first" || code=$?
		case $(word code) in 200 | 206) [ -s "$run/first" ] && break ;; esac
		if lost "$code" || [ "$(date +%s)" -ge "$until" ]; then unavailable "$code" "$(reason)"; fi
		sleep 2
	done
	headers
	read -ra b <<<"$(od -An -v -tu1 -N32 -w32 "$run/first")"
}

# headers reads those of the last answer; redirects come before it.
headers() {
	local name value length='' range='' etag='' modified=''
	while read -r name value; do
		value=${value%$'\r'}
		case ${name,,} in
		http/*) length='' range='' etag='' modified='' ;;
		content-length:) length=$value ;;
		content-range:) range=$value ;;
		etag:) etag=$value ;;
		last-modified:) modified=$value ;;
		esac
	done <"$run/headers"
	case $range in
	*/[0-9]*) total=${range##*/} ranges=yes ;;
	*) total=$length ranges='' ;;
	esac
	case $etag in
	'' | W/*) tag=$modified ;; # a weak tag does not promise the same bytes
	*) tag=$etag ;;
	esac
}

# fetch prints the file. When the link breaks or stalls it goes on at that byte, if the server still has the same file;
# else it ends with 33, and the write begins anew. Why it gave up is in $run/why.
fetch() {
	local at=0 nap=1 code got up condition=()
	up=$(date +%s)
	while :; do
		[ "$at" = 0 ] || [ -z "$tag" ] || condition=(-H "If-Range: $tag")
		code=0
		get -C "$at" "${condition[@]}" || code=$?
		got=$(word got)
		at=$((at + ${got:-0}))
		if [ "${got:-0}" -gt 0 ]; then up=$(date +%s) nap=1; fi
		case $code in
		0) [ -n "$total" ] && [ "$at" -lt "$total" ] || return 0 ;;
		23) return 23 ;; # who reads this has ended: he says why
		33) code=33 ;;
		*) [ -n "$got" ] || code=33 ;; # curl was killed: how far it came is not known
		esac
		if [ "$(word code)" = 416 ] || { [ "$at" -gt 0 ] && [ -z "$ranges" ]; }; then code=33; fi
		if [ "$code" = 33 ] || lost "$code" || [ $(($(date +%s) - up)) -ge "$patience" ]; then
			echo "$code $(reason)" >"$run/why"
			return "$code"
		fi
		echo "the link broke at byte $at of ${total:-an unknown number}: $(reason)" >&2
		sleep "$nap"
		nap=$((nap < 8 ? nap * 2 : 10))
	done
}

# sha256 prints the SHA-256 of its input. OpenSSL uses the processor's instructions for it.
sha256() { if command -v openssl >/dev/null; then openssl dgst -sha256 -r; else sha256sum; fi | cut -d ' ' -f 1; }

# keep puts its input into a file that appears when it is whole.
keep() { cat >"$1.new" && mv "$1.new" "$1"; }

# kept waits for that: bash does not wait for what runs in >(…).
kept() {
	local i
	for ((i = 0; i < 200; i++)); do
		[ ! -s "$1" ] || break
		sleep 0.05
	done
	cat "$1"
}

# number prints COUNT bytes of the file's beginning, from FROM, as one little-endian number.
number() {
	local i n=0
	for ((i = $2 - 1; i >= 0; i--)); do n=$((n * 256 + b[$1 + i])); done
	echo "$n"
}

# recognise looks at the first bytes: whether the file is what its name says, and for zstd the size of the image and
# whether its own checksum stands at the end. Source: RFC 8878, section 3.1.1.
summed=''
recognise() {
	local magic flags at
	magic="${b[0]:-} ${b[1]:-} ${b[2]:-} ${b[3]:-} ${b[4]:-} ${b[5]:-}"
	case $format,$magic in
	zst,"40 181 47 253 "* | xz,"253 55 122 88 90 0" | gz,"31 139 "*) ;;
	zst,8?" 42 77 24 "* | zst,9?" 42 77 24 "*) return ;; # an information for others stands before the data
	raw,*) size=$total && return ;;
	*) fail 69 "what $url gives is no $format file (an error page perhaps)" ;;
	esac
	[ "$format" = zst ] || return 0
	flags=${b[4]}
	at=$((5 + (flags >> 5 & 1 ? 0 : 1) + (0x4210 >> (flags & 3) * 4 & 15)))
	case $((flags >> 6)) in
	0) [ $((flags >> 5 & 1)) = 0 ] || size=${b[$at]} ;;
	1) size=$(($(number "$at" 2) + 256)) ;;
	2) size=$(number "$at" 4) ;;
	3) size=$(number "$at" 8) ;;
	esac
	if [ $((flags >> 2 & 1)) = 1 ] && [ -n "$size" ]; then summed=yes; fi
}

# ---- the disk ------------------------------------------------------------------------------------------------------

sectors() {
	local stat=()
	read -ra stat <"/sys/block/${disk#/dev/}/stat" || true
	echo "${stat[6]:-}"
} 2>/dev/null

# health is what kernel and disk say about errors, "" if nothing.
health() {
	local name=${disk#/dev/}
	{
		dmesg | grep -E "(error|fail).*[ /]${name}[, :]|[ /]${name}[, :].*(error|fail)" | tail -n 1 || true
		smartctl -H "$disk" | grep -E 'FAILED|FAILING' || true
		nvme smart-log "$disk" | grep -E 'critical_warning *: *(0x)?0*[1-9a-f]' || true
	} 2>/dev/null | sed 's/^\[[^]]*\] //; s/^..*/ (&)/' | tr -d '\n'
}

# broken ends it when the disk did not do what it should.
broken() {
	[ "$(blockdev --getsize64 "$disk" || true)" = "$room" ] || fail 66 "disk $disk vanished while $now"
	fail 74 "$1$(health)"
}

# wipe takes away signatures: of the partitions first, since a partition made later at the same place would show the old
# file system or array again.
wipe() {
	lsblk -nrpo NAME,TYPE "$disk" | tac | while read -r name type; do
		[ "$type" = part ] || [ "$name" = "$disk" ] || continue
		wipefs -a -f "$name" || exit 1
	done >/dev/null || return 1
	blank
}

# punch has the range of the image read as zero, so that zeroes need not be written. Punching a hole is the kernel's
# promise of that, unlike a discard, and it refuses where the disk does not do it without writing.
punch() {
	local span=${size:-17179869184}
	span=$(((span + 4095) / 4096 * 4096))
	fallocate --punch-hole --offset 0 --length "$((span < room ? span : room))" "$disk" 2>/dev/null
}

unpack() {
	case $format in
	zst) zstd -dqc ;;
	xz) xz -dqc ;;
	gz) gzip -dqc ;;
	raw) cat ;;
	esac 2>"$run/unpack"
}

# hex prints its input in hexadecimal.
hex() { od -An -v -tx1; }

# digest prints the SHA-256 of its input, and notes how far it came.
digest() { dd bs=256k status=progress 2>"$run/passed" | sha256; }

# digested hashes the file while it passes, and keeps its last four bytes. Perl, where it is there, does what tee, tail
# and dd do, in larger pieces: processes take turns less often, which small machines feel.
digested() {
	if ! command -v perl >/dev/null; then
		tee >(digest | keep "$run/sum.$puts") >(tail -c 4 | hex | keep "$run/tail.$puts")
		return
	fi
	perl -e '
		open(my $sum, ">", $ARGV[0]) && open(my $log, ">", $ARGV[1]) && open(my $end, ">", $ARGV[2]) or die "$!\n";
		fcntl($_, 1031, 1 << 20) for *STDIN, *STDOUT, $sum; # F_SETPIPE_SZ
		my ($n, $said, $tail, $piece) = (0, 0, "");
		while (my $got = sysread(STDIN, $piece, 1 << 18) // die "$!\n") {
			for my $to (*STDOUT, $sum) {
				for (my $at = 0; $at < $got;) { $at += syswrite($to, $piece, $got - $at, $at) // die "$!\n" }
			}
			$n += $got;
			$tail = substr($tail . substr($piece, -4), -4);
			if (time != $said) { $said = time; syswrite($log, "$n bytes\n") }
		}
		syswrite($log, "$n bytes\n");
		syswrite($end, join(" ", "", unpack("(H2)*", $tail)) . "\n") // die "$!\n";
	' >(sha256 | keep "$run/sum.$puts") "$run/passed" "$run/tail.$puts"
}

# wide runs a command into a larger pipe.
wide() {
	if command -v perl >/dev/null; then perl -e 'fcntl(STDOUT, 1031, 1 << 20); exec @ARGV or die' "$@"; else "$@"; fi
}

# zstd is quicker without threads of its own for reading and writing, where it knows of such.
plain=()
! zstd --no-asyncio -V >/dev/null 2>&1 || plain=(--no-asyncio)

puts=0
put() {
	puts=$((puts + 1))
	rm -f "$run"/why "$run"/sum.* "$run"/tail.* "$run"/crc.* "$run"/unpack "$run"/dd "$run"/passed
	if [ "$way,$format" = sparse,zst ] && [ -n "$summed" ]; then
		fetch | digested | zstd "${plain[@]}" -dqf --sparse -o "$disk" 2>"$run/unpack" && sync "$disk" 2>>"$run/unpack"
		return
	fi
	fetch | digested | unpack | tee >(cksum | keep "$run/crc.$puts") |
		dd of="$disk" bs=1M iflag=fullblock oflag=direct conv="$([ "$way" = dense ] || echo sparse,)fsync" status=progress 2>"$run/dd"
}

# gaveup ends it for the reason of a fetch, if it had one.
gaveup() {
	local code=0 text=''
	[ ! -s "$run/why" ] || read -r code text <"$run/why"
	[ "$code" = 0 ] || unavailable "$code" "$text"
	fail 69 "image $url cannot be had"
}

# write runs put, anew if the file has to be read from its beginning once more.
write() {
	local code text
	while ! put; do
		code=0 text=''
		[ ! -s "$run/why" ] || read -r code text <"$run/why"
		if [ "$code" = 33 ] && [ "$restarts" -lt 5 ]; then
			restarts=$((restarts + 1))
			echo "the file is read from its beginning again: $text" >&2
			phase writing
			continue
		fi
		[ "$code" = 0 ] || unavailable "$code" "$text"
		text=$(cat "$run/unpack" "$run/dd" 2>/dev/null | tr '\r' '\n' | grep -v -E '^$|records (in|out)$|bytes.* copied' | tail -n 1) || true
		case $text in
		*"o space left"*) fail 75 "the image is larger than disk $disk, which has $room bytes" ;;
		*"nput/output error"* | *"o such device"* | *"cannot write"* | *"rror writing"* | *"rite error"*) broken "writing to disk $disk failed: $text" ;;
		esac
		[ -b "$disk" ] || broken "$text"
		fail 65 "what $url gives cannot be unpacked: ${text:-it breaks off}"
	done
}

# back prints the first N bytes of the disk. Direct reads come from the disk, not from memory; what is left of a MiB
# cannot be read so, hence the flush before.
back() {
	local mib=$(($1 / 1048576)) rest=$(($1 % 1048576))
	blockdev --flushbufs "$disk"
	wide dd if="$disk" bs=1M count="$mib" iflag=direct status=progress 2>"$run/dd"
	[ "$rest" = 0 ] || dd if="$disk" bs=1M skip="$mib" count="$rest" iflag=count_bytes status=none 2>>"$run/dd"
}

# holds says whether the disk gives back every byte of the image: by the image's own checksum, which zstd computes over
# what it reads, or by one that was taken on the way.
holds() {
	local want got
	if [ "$way,$format" = sparse,zst ] && [ -n "$summed" ]; then
		want=$(kept "$run/tail.$puts")
		got=$(back "$size" | zstd "${plain[@]}" -q -c --check --fast=100 | tail -c 4 | hex)
	else
		want=$(kept "$run/crc.$puts")
		size=${want#* }
		[ "$size" -gt 0 ] || fail 69 "image $url is empty"
		got=$(back "$size" | cksum)
	fi
	[ "$got" = "$want" ]
}

# ---- what is done --------------------------------------------------------------------------------------------------

phase checking
[ -b "$disk" ] || fail 66 "there is no disk $disk"
room=$(blockdev --getsize64 "$disk")
case $(uname -m) in x86_64) ours=amd64 theirs='arm64 aarch64' ;; aarch64) ours=arm64 theirs='amd64 x86_64' ;; *) ours='' theirs='' ;; esac
file=${url%%\?*}
for other in $theirs; do
	case ${file##*/} in *"$other"*) fail 76 "image $url is for $other, this machine is $ours" ;; esac
done
look
recognise
[ -z "$size" ] || [ "$size" -le "$room" ] || fail 75 "the image has $size bytes, disk $disk has $room"

if [ -n "$sum" ]; then
	got=$(fetch | digest) || gaveup
	[ "$got" = "$sum" ] || fail 65 "image $url has checksum $got, expected was $sum"
fi

phase wiping
fate=''
bash "$where/release-disk.sh" "$disk" >/dev/null 2>&1 || true # what still holds it shows in the next line
wipe || fail 71 "something on disk $disk does not let go of it: $(lsblk -nro NAME,TYPE "$disk" | tr '\n' ' ')"
touched=yes fate='; what the disk held is gone, and nothing on it boots'
if punch; then way=sparse; else way=dense; fi
start=$(sectors)

while :; do
	phase writing
	write
	digest=$(kept "$run/sum.$puts")
	[ -z "$sum" ] || [ "$digest" = "$sum" ] || fail 65 "image $url has checksum $digest, expected was $sum"
	phase verifying
	if holds; then break; fi
	# A disk may say that a range reads as zero when it does not. Then every byte is written.
	[ "$way" = sparse ] || broken "disk $disk does not hold what was written to it"
	echo "disk $disk does not hold what was written to it: once more, with every zero" >&2
	way=dense
done
loader=$(bash "$where/boot-loader.sh" "$disk") || loader=''
if [ -n "$ours" ] && [ -n "$loader" ] && [[ " $loader " != *" $ours "* ]]; then
	fail 76 "image $url boots on $loader, this machine is $ours"
fi
blockdev --rereadpt "$disk" >/dev/null 2>&1 || true
sync
end=$(sectors)

touched=
phase written
