#!/bin/sh
# Installs a release of Sentinel's programs, after its checksum was compared.
#
#   sh install.sh [--version V] [--programs "sentinel-agent sentinelctl"] [--dir /usr/local/bin]
#
# The archive and SHA256SUMS come from the project's releases, or from --from URL,
# which may be a mirror (https://…) or a folder (file:///…).
set -eu

version=latest
programs=sentinel-agent
dir=/usr/local/bin
from=
while [ $# -gt 0 ]; do
	case "$1" in
	--version) version=$2; shift 2 ;;
	--programs) programs=$2; shift 2 ;;
	--dir) dir=$2; shift 2 ;;
	--from) from=$2; shift 2 ;;
	-h | --help) sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 0 ;;
	*) echo "install: $1 is not known; --help shows what there is" >&2; exit 2 ;;
	esac
done

fail() { echo "install: $*" >&2; exit 1; }
command -v curl >/dev/null || fail "needs curl"
if command -v sha256sum >/dev/null; then
	sum() { sha256sum "$1" | cut -d' ' -f1; }
elif command -v shasum >/dev/null; then
	sum() { shasum -a 256 "$1" | cut -d' ' -f1; }
else
	fail "needs sha256sum or shasum, to compare checksums"
fi

case "$(uname -s)" in
Linux) os=linux ;;
Darwin) os=darwin ;;
*) fail "there is no release for $(uname -s); on Windows use the zip and install.ps1" ;;
esac
case "$(uname -m)" in
x86_64 | amd64) arch=amd64 ;;
aarch64 | arm64) arch=arm64 ;;
armv7l | armv6l) arch=arm ;;
*) fail "there is no release for $(uname -m)" ;;
esac

if [ -z "$from" ]; then
	releases=https://github.com/sentinelgo/sentinel/releases
	if [ "$version" = latest ]; then
		from=$releases/latest/download
	else
		from=$releases/download/v${version#v}
	fi
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fetch() { curl -fsSL --proto '=https,file' --retry 3 -o "$work/$1" "$from/$1" || fail "$from/$1 cannot be had"; }

fetch SHA256SUMS
if [ "$version" = latest ]; then
	pattern="sentinel_[^ ]*_${os}_${arch}.tar.gz"
else
	pattern="sentinel_${version#v}_${os}_${arch}.tar.gz"
fi
archive=$(sed -n "s/^[0-9a-f]\{64\} [ *]\($pattern\)\$/\1/p" "$work/SHA256SUMS")
[ -n "$archive" ] || fail "the release has no $pattern"
[ "$(echo "$archive" | wc -l)" -eq 1 ] || fail "the release has several archives for $os/$arch; say which with --version"
fetch "$archive"
want=$(sed -n "s/^\([0-9a-f]\{64\}\) [ *]$archive\$/\1/p" "$work/SHA256SUMS")
got=$(sum "$work/$archive")
[ "$want" = "$got" ] || fail "$archive has the checksum $got and SHA256SUMS says $want: nothing was installed"

tar -C "$work" -xzf "$work/$archive"
for p in $programs; do
	[ -f "$work/${archive%.tar.gz}/$p" ] || fail "the release has no $p"
done
mkdir -p "$dir"
for p in $programs; do
	# Beside its place and then into it: a program that runs cannot be written over.
	cp "$work/${archive%.tar.gz}/$p" "$dir/.$p.new"
	chmod 0755 "$dir/.$p.new"
	mv -f "$dir/.$p.new" "$dir/$p"
	echo "installed $dir/$p"
done
