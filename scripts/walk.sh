#!/usr/bin/env bash
# Follows docs/quickstart.md literally, on two hosts: this one and a network namespace.
# Needs root and iproute2.
set -euo pipefail
cd "$(dirname "$0")/.."
case "${1:-}" in "") ;; *) echo "Usage: scripts/walk.sh — runs every command of docs/quickstart.md" >&2; exit 2 ;; esac
[ "$(id -u)" = 0 ] || { echo "walk: needs root, for a network namespace" >&2; exit 1; }
if ! command -v ip >/dev/null; then
	apt-get update -qq && apt-get install -qq -y iproute2 >/dev/null
fi
./scripts/ensure-postgres.sh

work=$(mktemp -d /var/tmp/sentinel-walk-XXXXXX)
state=/var/lib/sentinel-quickstart
[ ! -e $state ] || { echo "walk: $state is there already: remove it first" >&2; exit 1; }
finish() {
	code=$?
	if [ $code != 0 ]; then
		for log in service.log second/agent.log webhook.log; do
			[ ! -s "$work/src/$log" ] || { echo "--- $log"; tail -n 20 "$work/src/$log"; }
		done
	fi
	exec 3>&- 4>&-
	for p in $(cat "$work"/*.pid 2>/dev/null); do pkill -P "$p" 2>/dev/null || kill "$p" 2>/dev/null || [ ! -e "/proc/$p" ]; done
	pkill -f "$state" || [ $? = 1 ]
	pkill -f "sentinel-agent --config agent.yml" || [ $? = 1 ]
	pkill -f "webhook 127.0.0.1:9099" || [ $? = 1 ]
	ip netns del sentinel-second 2>/dev/null || [ ! -e /run/netns/sentinel-second ]
	ip link del sentinel0 2>/dev/null || [ ! -e /sys/class/net/sentinel0 ]
	for _ in $(seq 50); do pgrep -f "$state" >/dev/null || break; sleep 0.2; done
	rm -rf "$work" $state
	exit $code
}
trap finish EXIT

ip netns add sentinel-second
ip link add sentinel0 type veth peer name sentinel1 netns sentinel-second
ip addr add 10.77.0.1/24 dev sentinel0
ip link set sentinel0 up
ip -n sentinel-second addr add 10.77.0.2/24 dev sentinel1
ip -n sentinel-second link set sentinel1 up
ip -n sentinel-second link set lo up

# The newcomer's checkout.
mkdir "$work/src"
git ls-files -z | tar --null -T - -cf - | tar -xf - -C "$work/src"

# One shell for each host lives as long as the walk. A command that fails ends it.
mkfifo "$work/first" "$work/second"
host() { (cd "$work/src" && exec "${@:2}" bash -euo pipefail <"$work/$1" >>"$work/$1.out" 2>&1) & echo $! >"$work/$1.pid"; }
host first
host second ip netns exec sentinel-second
exec 3>"$work/first" 4>"$work/second"

# run BLOCK HOST gives a block to its host's shell and waits until that is through.
number=0
run() {
	local fd=3 i
	[ "$2" = first ] || fd=4
	number=$((number + 1))
	printf '%s\necho "walk %s is through"\n' "$1" "$number" >&$fd
	for ((i = 0; i < 1200; i++)); do
		if grep -q "^walk $number is through$" "$work/$2.out" 2>/dev/null; then
			return
		fi
		kill -0 "$(cat "$work/$2.pid")" 2>/dev/null || break
		sleep 0.1
	done
	echo "walk: this does not work on the $2 host:" >&2
	printf '%s\n--- it says:\n' "$1" >&2
	tail -n 30 "$work/$2.out" >&2
	exit 1
}

block='' host='' inside=''
while IFS= read -r line; do
	case "$line" in
	'```sh' | '```sh second') host=${line#'```sh'} host=${host# } inside=yes block='' ;;
	'```') [ -z "$inside" ] || run "$block" "${host:-first}"; inside='' ;;
	'## '*) echo "walk: ${line#\#\# }" ;;
	*) [ -z "$inside" ] || block+=$line$'\n' ;;
	esac
done <docs/quickstart.md
echo "walk: every command of docs/quickstart.md works"
