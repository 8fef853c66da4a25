#!/usr/bin/env bash
# Follows the README on a fresh Debian that has Go, make and git and nothing else: clones
# this checkout, runs `make demo` until it shows this host, and `make test`; as root and as
# a user. Needs root and debootstrap, network, and the better part of an hour.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
	cat <<'TEXT'
Usage: scripts/test-fresh.sh [--only demo|test] [--as root|user]

Both commands as both unless --only or --as say otherwise.
TEXT
}
commands="demo test" whom="root user"
while [ $# -gt 0 ]; do
	case "$1" in
	--only) commands=$2; shift 2 ;;
	--as) whom=$2; shift 2 ;;
	*) usage >&2; exit 2 ;;
	esac
done
[ "$(id -u)" = 0 ] || { echo "test-fresh: needs root, for chroot" >&2; exit 1; }
command -v debootstrap >/dev/null || { apt-get update -qq && apt-get install -qq -y debootstrap >/dev/null; }

work=$(mktemp -d /var/tmp/sentinel-fresh-XXXXXX)
chmod 755 "$work"
root=$work/debian
finish() {
	code=$?
	for m in dev/shm dev proc sys usr/local/go; do
		if mountpoint -q "$root/$m"; then umount -l "$root/$m"; fi
	done
	rm -rf --one-file-system "$work"
	exit $code
}
trap finish EXIT
say() { echo "test-fresh: $*"; }

say "making a Debian"
mirror=$(find /etc/apt -name '*.list' -o -name '*.sources' | sort | xargs awk '/^(URIs:|deb )/ {for (i = 2; i <= NF; i++) if ($i ~ /^https?:/) {print $i; exit}}')
# shellcheck disable=SC1091
release=$(. /etc/os-release && echo "${VERSION_CODENAME:-stable}")
debootstrap --variant=minbase --include=make,git,ca-certificates "$release" "$root" "$mirror" >"$work/debootstrap.log" 2>&1 || { tail -n 20 "$work/debootstrap.log"; exit 1; }
rm -rf "$root/etc/apt/sources.list"
cp -a /etc/apt/sources.list.d /etc/apt/apt.conf.d /etc/apt/auth.conf.d "$root/etc/apt/" 2>/dev/null || [ -d "$root/etc/apt/sources.list.d" ]
cp /etc/resolv.conf /etc/hosts "$root/etc/"
[ ! -d /etc/ssl/certs ] || cp -a /etc/ssl/certs/. "$root/etc/ssl/certs/"
mkdir -p "$root/usr/local/go"
mount --bind "$(go env GOROOT)" "$root/usr/local/go"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --make-rslave "$root/sys"
mount -t tmpfs -o mode=755 dev "$root/dev"
for d in null zero full random urandom tty; do cp -a /dev/$d "$root/dev/"; done
ln -s /proc/self/fd "$root/dev/fd"
mkdir -m 1777 "$root/dev/shm"
chroot "$root" useradd --create-home --shell /bin/bash newcomer
git clone -q --no-hardlinks . "$root/src.git"
chroot "$root" chmod -R a+rX /src.git
chroot "$root" git config --system safe.directory /src.git/.git # its owner is root

# as runs a command as somebody, with this machine's way to the registries.
as() {
	local who=$1 home=/root
	[ "$1" = root ] || { who=newcomer home=/home/newcomer; }
	chroot "$root" su "$who" -s /bin/bash -c "set -o pipefail; cd $home && export HOME=$home PATH=/usr/local/go/bin:/usr/sbin:/usr/bin:/sbin:/bin GOPROXY='$(go env GOPROXY)' GOSUMDB='$(go env GOSUMDB)' GONOSUMDB='$(go env GONOSUMDB)' GOFLAGS='$(go env GOFLAGS)' && $2"
}

for who in $whom; do
	as "$who" "git clone -q /src.git sentinel"
	for c in $commands; do
		say "make $c as $who"
		case $c in
		demo)
			# It ends when it is asked to, after it has shown this host.
			as "$who" "cd sentinel && { make demo >../demo.log 2>&1 & } && for i in \$(seq 900); do grep -q 'are in the database' ../demo.log && break; sleep 1; done; kill -TERM \$!; wait; cat ../demo.log | grep -v '^go: downloading' | tail -n 40; grep -q 'are in the database' ../demo.log"
			;;
		test) as "$who" "cd sentinel && make test 2>&1 | grep -v '^go: downloading'" ;;
		*) usage >&2; exit 2 ;;
		esac
	done
done
say "the README's commands work on a fresh Debian as: $whom"
