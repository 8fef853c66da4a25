#!/usr/bin/env bash
# Follows docs/quickstart.md literally, on two hosts: this one and a network namespace;
# then what README.md says of separate processes, with a NATS of its own. Needs root and iproute2.
set -euo pipefail
cd "$(dirname "$0")/.."
case "${1:-}" in "") ;; *) echo "Usage: scripts/walk.sh — runs every command of docs/quickstart.md, and README.md's blocks marked \`sh apart\`" >&2; exit 2 ;; esac
[ "$(id -u)" = 0 ] || { echo "walk: needs root, for a network namespace" >&2; exit 1; }
if ! command -v ip >/dev/null; then
	apt-get update -qq && apt-get install -qq -y iproute2 >/dev/null
fi
./scripts/ensure-postgres.sh

work=$(mktemp -d /var/tmp/sentinel-walk-XXXXXX)
state=/var/lib/sentinel-quickstart
[ ! -e $state ] || { echo "walk: $state is there already: remove it first" >&2; exit 1; }
postgres=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1)
end_all() {
	exec 3>&- 4>&- 5>&-
	for p in $(cat "$work"/*.pid 2>/dev/null); do pkill -P "$p" 2>/dev/null || kill "$p" 2>/dev/null || [ ! -e "/proc/$p" ]; done
	rm -f "$work"/*.pid
	for what in "$state" "sentinel-agent --config agent.yml" "webhook 127.0.0.1:9099" "/bin/sentinel-[a-z]* --config sentinel.yml" "nats-server.* -sd ./nats"; do
		pkill -f -- "$what" || [ $? = 1 ]
	done
	[ ! -e "$work/database/postmaster.pid" ] || su postgres -c "'$postgres/pg_ctl' -D '$work/database' -m fast -s stop"
	for _ in $(seq 50); do pgrep -f "$state" >/dev/null || break; sleep 0.2; done
}
finish() {
	code=$?
	if [ $code != 0 ]; then
		for log in service.log second/agent.log webhook.log; do
			[ ! -s "$work/src/$log" ] || { echo "--- $log"; tail -n 20 "$work/src/$log"; }
		done
	fi
	end_all
	ip netns del sentinel-second 2>/dev/null || [ ! -e /run/netns/sentinel-second ]
	ip link del sentinel0 2>/dev/null || [ ! -e /sys/class/net/sentinel0 ]
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
mkfifo "$work/first" "$work/second" "$work/apart"
host() { (cd "$work/src" && exec "${@:2}" bash -euo pipefail <"$work/$1" >>"$work/$1.out" 2>&1) & echo $! >"$work/$1.pid"; }
host first
host second ip netns exec sentinel-second
exec 3>"$work/first" 4>"$work/second"

# run BLOCK HOST gives a block to its host's shell and waits until that is through.
number=0
run() {
	local fd i
	case $2 in first) fd=3 ;; second) fd=4 ;; apart) fd=5 ;; esac
	number=$((number + 1))
	printf '%s\necho "walk %s is through"\n' "$1" "$number" >&$fd
	for ((i = 0; i < 1200; i++)); do
		if grep -q "^walk $number is through$" "$work/$2.out" 2>/dev/null; then
			return
		fi
		kill -0 "$(cat "$work/$2.pid")" 2>/dev/null || break
		sleep 0.1
	done
	echo "walk: this does not work ($2):" >&2
	printf '%s\n--- it says:\n' "$1" >&2
	tail -n 30 "$work/$2.out" >&2
	exit 1
}

# follow FILE BLOCKS runs the blocks of a document whose first line matches BLOCKS.
follow() {
	local block='' host='' inside='' line
	while IFS= read -r line; do
		if [[ $line =~ $2 ]]; then
			host=${line#'```sh'} host=${host# } inside=yes block=''
		elif [ "$line" = '```' ]; then
			[ -z "$inside" ] || run "$block" "${host:-first}"
			inside=''
		elif [[ $line == '## '* ]]; then
			[ "$1" = README.md ] || echo "walk: ${line#\#\# }"
		elif [ -n "$inside" ]; then
			block+=${line/#export DATABASE_URL=*/export DATABASE_URL=$database}$'\n'
		fi
	done <"$1"
}
database=''
follow docs/quickstart.md '^```sh( second)?$'
echo "walk: every command of docs/quickstart.md works"
end_all

# Separate processes want a database, whose address alone differs from what is written.
install -d -o postgres "$work/database"
chmod 711 "$work"
su postgres -c "cd / && '$postgres/initdb' -D '$work/database' -U sentinel -A trust --no-sync >/dev/null && '$postgres/pg_ctl' -D '$work/database' -s -w -l '$work/database/log' -o '-p 54329 -k $work/database -c listen_addresses=127.0.0.1' start && '$postgres/createdb' -h 127.0.0.1 -p 54329 -U sentinel sentinel"
database=postgres://sentinel@127.0.0.1:54329/sentinel
host apart
exec 5>"$work/apart"
follow README.md '^```sh apart$'
run 'for i in $(seq 100); do ./bin/sentinelctl agent ls --state up -o csv | grep -q linux && break; sleep 0.2; done; ./bin/sentinelctl agent ls --state up -o csv | grep linux' apart
echo "walk: README.md's separate processes work"
