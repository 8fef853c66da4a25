#!/usr/bin/env bash
# Makes a development authority and a server certificate: ca.crt, ca.key,
# server.crt and server.key in DIR. Not for production, which brings its own.
set -euo pipefail

usage() {
	cat <<'TEXT'
Usage: scripts/gen-dev-certs.sh DIR [NAME...]

Makes a development authority and a certificate for localhost, 127.0.0.1, ::1,
this host's name and each NAME (a host name or an IP address).

Running it again changes nothing, unless the certificate lacks a NAME or ends
within 30 days: then it is made anew by the same authority, so that whoever
trusts ca.crt may go on.

Then:
  server.cert_file: DIR/server.crt      server.key_file: DIR/server.key
  agent.server.ca_file: DIR/ca.crt      ca_file in sentinelctl.yml: DIR/ca.crt
TEXT
}

case "${1:-}" in
-h | --help) usage; exit 0 ;;
"" | -*) usage >&2; exit 2 ;;
esac
command -v openssl >/dev/null 2>&1 || {
	echo "gen-dev-certs: openssl is not installed; install it (apt install openssl, dnf install openssl, brew install openssl) and run this again" >&2
	exit 1
}
dir=$1
shift

# Names go into a configuration file of openssl's: nothing that has a meaning there.
names=(localhost 127.0.0.1 ::1)
host=$(uname -n)
[[ $host =~ ^[A-Za-z0-9._-]+$ ]] && names+=("$host")
for name in "$@"; do
	[[ $name =~ ^(\*\.)?[A-Za-z0-9][A-Za-z0-9._-]*$ || $name =~ ^[0-9A-Fa-f:.]+$ ]] || {
		echo "gen-dev-certs: \"$name\" is neither a host name nor an IP address" >&2
		exit 2
	}
	names+=("$name")
done

umask 077 # keys are their owner's alone, from the first byte
mkdir -p "$dir"
work=$(mktemp -d "$dir/.new-XXXXXX")
trap 'rm -rf "$work"' EXIT

# run keeps openssl quiet unless it fails.
run() {
	openssl "$@" >"$work/log" 2>&1 || {
		echo "gen-dev-certs: openssl $1 failed:" >&2
		cat "$work/log" >&2
		exit 1
	}
}

# put moves a key and then its certificate into place: each is there as a whole.
put() {
	chmod 600 "$work/$1.key"
	chmod 644 "$work/$1.crt"
	mv -f "$work/$1.key" "$dir/$1.key"
	mv -f "$work/$1.crt" "$dir/$1.crt"
}

# fits says whether a certificate and a key belong together.
fits() {
	[ -s "$1.crt" ] && [ -s "$1.key" ] &&
		[ "$(openssl x509 -in "$1.crt" -noout -pubkey 2>/dev/null)" = "$(openssl pkey -in "$1.key" -pubout 2>/dev/null)" ]
}

if ! fits "$dir/ca" || ! openssl x509 -in "$dir/ca.crt" -noout -checkend 0 >/dev/null 2>&1; then
	cat >"$work/ca.cnf" <<'TEXT'
[req]
prompt = no
distinguished_name = name
x509_extensions = authority
[name]
CN = Sentinel development authority
[authority]
basicConstraints = critical, CA:true, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
TEXT
	run genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$work/ca.key"
	run req -x509 -new -sha256 -key "$work/ca.key" -days 3650 -config "$work/ca.cnf" -out "$work/ca.crt"
	put ca
	echo "made the authority $dir/ca.crt"
fi

# good says whether the certificate is of this authority, lasts, and has all names.
good() {
	fits "$dir/server" &&
		openssl x509 -in "$dir/server.crt" -noout -checkend $((30 * 24 * 3600)) >/dev/null 2>&1 &&
		openssl verify -CAfile "$dir/ca.crt" "$dir/server.crt" >/dev/null 2>&1 || return 1
	local name kind
	for name in "${names[@]}"; do
		kind=-checkhost
		[[ $name == *:* || $name =~ ^[0-9.]+$ ]] && kind=-checkip
		openssl x509 -in "$dir/server.crt" -noout "$kind" "${name/#\*./any.}" 2>/dev/null | grep -q "does match" || return 1
	done
}

if good; then
	echo "$dir/server.crt is good as it is"
	exit 0
fi

cat >"$work/server.cnf" <<'TEXT'
[req]
prompt = no
distinguished_name = name
[name]
CN = Sentinel server
[server]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = @names
[names]
TEXT
i=0
for name in "${names[@]}"; do
	i=$((i + 1))
	if [[ $name == *:* || $name =~ ^[0-9.]+$ ]]; then
		echo "IP.$i = $name" >>"$work/server.cnf"
	else
		echo "DNS.$i = $name" >>"$work/server.cnf"
	fi
done
run genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$work/server.key"
run req -new -sha256 -key "$work/server.key" -config "$work/server.cnf" -out "$work/server.csr"
# Browsers and Go accept no more than 397 days.
run x509 -req -sha256 -in "$work/server.csr" -CA "$dir/ca.crt" -CAkey "$dir/ca.key" \
	-set_serial "0x$(openssl rand -hex 16 | sed 's/^./0/')" -days 397 -extfile "$work/server.cnf" -extensions server -out "$work/server.crt"
# With the authority: agents that pin it have no copy of their own.
cat "$dir/ca.crt" >>"$work/server.crt"
put server
echo "made $dir/server.crt for ${names[*]}"
