#!/usr/bin/env bash
# Installs the agent's deb in a fresh Debian, lets it enrol and send to a running
# system, upgrades it, removes and purges it. Needs root and debootstrap.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
	cat <<'TEXT'
Usage: scripts/test-packages.sh

Builds the packages in two versions, installs the older agent in a Debian that
debootstrap has made, and checks that

  1. it enrols with a token, and its samples arrive,
  2. an upgrade keeps its identity, its configuration and the data in its log,
  3. "remove" keeps configuration, identity and log, and "purge" leaves no file behind,
  4. the packages of server, worker and sentinelctl install, run and purge too.
TEXT
}
case "${1:-}" in "") ;; *) usage; exit 2 ;; esac

[ "$(id -u)" = 0 ] || { echo "test-packages: needs root, for chroot" >&2; exit 1; }
if ! command -v debootstrap >/dev/null; then
	echo "test-packages: installing debootstrap ..."
	apt-get update -qq && apt-get install -qq -y debootstrap >/dev/null
fi

work=$(mktemp -d /var/tmp/sentinel-packages-XXXXXX)
chmod 755 "$work" # the database's user must be able to pass
root=$work/debian
pids=()
finish() {
	code=$?
	for p in "${pids[@]}"; do kill "$p" 2>/dev/null || true; done # it may have ended
	wait
	if mountpoint -q "$root/proc"; then umount "$root/proc"; fi
	[ $code = 0 ] || { echo "--- the agent's log:"; tail -n 30 "$work/agent.log"; echo "--- the system's:"; tail -n 30 "$work/system.log"; } 2>/dev/null || true
	rm -rf "$work"
	exit $code
}
trap finish EXIT
say() { echo "test-packages: $*"; }
fail() { echo "test-packages: $*" >&2; exit 1; }
# until_ok waits for a command to succeed.
until_ok() {
	local what=$1 i
	shift
	for i in $(seq 150); do
		if "$@" >/dev/null 2>&1; then return; fi
		sleep 0.2
	done
	fail "$what did not happen within 30 s"
}
inside() { chroot "$root" env PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C DEBIAN_FRONTEND=noninteractive "$@"; }

say "building two versions"
arch=$(go env GOARCH)
for v in 0.1.0 0.2.0; do
	./scripts/build-packages.sh --version $v --out "$work/$v" --targets "linux/$arch" >"$work/build.log" 2>&1 || { cat "$work/build.log"; exit 1; }
done

say "making a Debian"
# The first mirror that this host itself installs from.
mirror=$(find /etc/apt -name '*.list' -o -name '*.sources' | sort | xargs awk '/^(URIs:|deb )/ {for (i = 2; i <= NF; i++) if ($i ~ /^https?:/) {print $i; exit}}')
# shellcheck disable=SC1091
release=$(. /etc/os-release && echo "${VERSION_CODENAME:-stable}")
debootstrap --variant=minbase "$release" "$root" "$mirror" >"$work/debootstrap.log" 2>&1 || { tail -n 20 "$work/debootstrap.log"; exit 1; }
mount -t proc proc "$root/proc"
inside sh -c 'find / -xdev -path /proc -prune -o -print | sort' >"$work/files.before"

say "starting a system"
make --silent build BIN="$work/bin" >/dev/null
gateway=127.0.0.1:27443 api=127.0.0.1:27480
"$work/bin/sentinel" --state "$work/state" --gateway $gateway --api $api --interval 1h >"$work/system.log" 2>&1 &
pids+=($!)
until_ok "the system's start" test -s "$work/state/sentinelctl.yml"
ctl() { "$work/bin/sentinelctl" --config "$work/state/sentinelctl.yml" "$@"; }
until_ok "the API" ctl agent ls

say "installing the agent, and enrolling it"
cp "$work"/0.?.0/*.deb "$root/tmp/"
inside dpkg -i "/tmp/sentinel-agent_0.1.0_$arch.deb" >"$work/install.log"
grep -q "sentinel-agent enroll" "$work/install.log" || fail "the package does not say what to do next"
inside sentinel-agent --version | grep -q "0\.1\.0" || fail "the program is not of that version"
cat >"$root/etc/sentinel/agent.yml" <<TEXT
agent:
  server: {address: "$gateway", ca_pin: "$(ctl enrolment create packages --uses 1 --out "$root/tmp/token" -o json | sed -n 's/.*"\(sha256:[^"]*\)".*/\1/p' | head -n 1)"}
  collect: {interval: 1s, timeout: 1s}
TEXT
inside sentinel-agent --check
inside sentinel-agent enroll --enrolment-token-file /tmp/token
agent=$(sed -n 's/.*"agent_id": *"\([^"]*\)".*/\1/p' "$root/var/lib/sentinel-agent/credential.json" | head -n 1)
[ -n "$agent" ] || agent=$(grep -oE 'ag-[a-z2-7]+' "$root/var/lib/sentinel-agent/credential.json" | head -n 1)
start() {
	chroot "$root" sentinel-agent >>"$work/agent.log" 2>&1 &
	running=$!
	pids+=("$running")
}
stop() { kill "$running" && wait "$running"; }
start
until_ok "the arrival of samples" sh -c "'$work/bin/sentinelctl' --config '$work/state/sentinelctl.yml' api GET /agents/$agent/latest | grep -q node_load1"

say "upgrading, with data in the log that is not sent"
kill "${pids[0]}" && wait "${pids[0]}" # no service: the log grows
sleep 3
stop
before=$(inside sh -c 'find /var/lib/sentinel-agent/wal -type f | sort | xargs sha256sum')
unsent=$("$work/bin/sentinelctl" inspect-wal ls "$root/var/lib/sentinel-agent" -o csv | wc -l)
[ "$unsent" -gt 1 ] || fail "nothing is in the log that is not sent"
cp "$root/etc/sentinel/agent.yml" "$work/agent.yml"
inside dpkg -i "/tmp/sentinel-agent_0.2.0_$arch.deb" >/dev/null
inside sentinel-agent --version | grep -q "0\.2\.0" || fail "the program is not of the new version"
cmp "$work/agent.yml" "$root/etc/sentinel/agent.yml" || fail "the upgrade has changed the configuration"
[ "$(inside sh -c 'find /var/lib/sentinel-agent/wal -type f | sort | xargs sha256sum')" = "$before" ] || fail "the upgrade has changed the log"
"$work/bin/sentinel" --state "$work/state" --gateway $gateway --api $api --interval 1h >"$work/system.log" 2>&1 &
pids+=($!)
until_ok "the API" ctl agent ls
start
until_ok "the delivery of what was in the log" "$work/bin/sentinelctl" agent flush --state-dir "$root/var/lib/sentinel-agent" --wait 20s
ctl agent audit "$agent"
stop

say "removing and purging it"
inside dpkg -r sentinel-agent >/dev/null
[ -e "$root/var/lib/sentinel-agent/credential.json" ] && [ -e "$root/etc/sentinel/agent.yml" ] || fail "remove took what is not its"
inside dpkg -P sentinel-agent >/dev/null

say "server, worker and sentinelctl"
for p in sentinel-server sentinel-worker sentinelctl; do
	inside dpkg -i "/tmp/${p}_0.2.0_$arch.deb" >/dev/null
	inside "$p" --version | grep -q "0\.2\.0" || fail "$p is not of that version"
done
[ "$(inside stat -c %U:%G:%a /etc/sentinel/server.yml)" = root:sentinel:640 ] || fail "server.yml is not for root and sentinel alone"
inside sentinel-server --check
inside sentinel-worker --check
inside dpkg -P sentinel-server sentinel-worker sentinelctl >/dev/null

rm -f "$root"/tmp/*
inside sh -c 'find / -xdev -path /proc -prune -o -print | sort' >"$work/files.after"
# What dpkg, useradd and ldconfig keep of their own is not the packages'.
left=$(comm -13 "$work/files.before" "$work/files.after" | grep -vE '^/(var/lib/dpkg|var/log|var/cache/(ldconfig|debconf)|etc/(passwd|group|shadow|gshadow|subuid|subgid)-?$)' || [ $? = 1 ])
[ -z "$left" ] || fail "files are left behind: $left"
say "everything holds"
