#!/usr/bin/env bash
# Starts the whole system as make demo does, waits for this host's samples, asks
# for them with sentinelctl, checks that the books balance, and stops it.
set -euo pipefail
cd "$(dirname "$0")/.."

dir=$(mktemp -d)
chmod 755 "$dir" # PostgreSQL's user has to pass
log=$dir/log
cleanup() {
	kill -INT "$pid" 2>/dev/null || :
	wait "$pid" 2>/dev/null || :
	rm -rf "$dir"
}
./bin/sentinel --state "$dir/state" --gateway 127.0.0.1:17443 --api 127.0.0.1:17480 --interval 1s >"$log" 2>&1 &
pid=$!
trap cleanup EXIT

for _ in $(seq 300); do
	grep -q 'are in the database' "$log" && break
	kill -0 "$pid" 2>/dev/null || { cat "$log"; exit 1; }
	sleep 0.1
done
grep 'are in the database' "$log" || { cat "$log"; exit 1; }

ctl=(./bin/sentinelctl --config "$dir/state/sentinelctl.yml")
agent=$("${ctl[@]}" agent ls -o csv | sed -n '2s/,.*//p')
"${ctl[@]}" query "$agent" node_load1 -o csv | grep '^node_load1'
"${ctl[@]}" query "node_load1{agent=\"$agent\"}" -o csv | grep "^node_load1,\"agent=$agent,"
"${ctl[@]}" agent audit "$agent"
./bin/sentinelctl inspect-wal verify "$dir/state/agent"
