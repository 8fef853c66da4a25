#!/usr/bin/env bash
# Makes sure that PostgreSQL's server programs are on this machine. Where they are
# missing it installs the distribution's package if it may, else it says how.
set -euo pipefail

if [ -n "${DATABASE_URL:-}" ] || [ -n "${SENTINEL_TEST_DATABASE_URL:-}" ]; then
	exit 0
fi

have_postgres() {
	command -v initdb >/dev/null 2>&1 && command -v postgres >/dev/null 2>&1 && return 0
	local dir
	for dir in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /usr/lib64/pgsql/bin /usr/libexec/postgresql* \
		/opt/homebrew/opt/postgresql@*/bin /usr/local/opt/postgresql@*/bin /usr/local/pgsql/bin; do
		[ -x "$dir/initdb" ] && [ -x "$dir/postgres" ] && return 0
	done
	return 1
}

explain() {
	cat >&2 <<'TEXT'
PostgreSQL's server programs (initdb, postgres; version 14 or newer) are not on
this machine, and they could not be installed from here. Any of these helps:

  Debian, Ubuntu:   sudo apt-get install -y postgresql
  Fedora, RHEL:     sudo dnf install -y postgresql-server
  macOS:            brew install postgresql@17

or point at a database you have (an empty one is best):

  export DATABASE_URL=postgres://user:password@host:5432/name                  # make demo
  export SENTINEL_TEST_DATABASE_URL=postgres://user:password@host:5432/name    # make test

Then run the same make command again.
TEXT
	exit 1
}

have_postgres && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
	# Only where no password is asked for: a build never stops at a prompt.
	if command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
		as_root=(sudo -n)
	elif ! command -v brew >/dev/null 2>&1; then
		explain
	fi
fi

echo "PostgreSQL's server programs are missing; installing the distribution's package ..." >&2
if command -v apt-get >/dev/null 2>&1; then
	"${as_root[@]}" apt-get update -qq >&2 || explain
	# The package is told not to create a cluster of its own: ours is private.
	"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql-common >&2 || explain
	"${as_root[@]}" sed -i 's/^#\?create_main_cluster.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf || explain
	"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql >&2 || explain
elif command -v dnf >/dev/null 2>&1; then
	"${as_root[@]}" dnf install -y -q postgresql-server >&2 || explain
elif command -v apk >/dev/null 2>&1; then
	"${as_root[@]}" apk add --quiet postgresql >&2 || explain
elif command -v pacman >/dev/null 2>&1; then
	"${as_root[@]}" pacman -S --noconfirm --quiet postgresql >&2 || explain
elif command -v zypper >/dev/null 2>&1; then
	"${as_root[@]}" zypper --non-interactive --quiet install postgresql-server >&2 || explain
elif command -v brew >/dev/null 2>&1; then
	brew install --quiet postgresql@17 >&2 || explain
else
	explain
fi

have_postgres || explain
