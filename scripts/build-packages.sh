#!/usr/bin/env bash
# Builds the release: static binaries, archives, deb and rpm packages, and their
# checksums, into dist/.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
	cat <<'TEXT'
Usage: scripts/build-packages.sh [--version V] [--out DIR] [--targets "OS/ARCH ..."] [--no-packages]

Builds into dist/ (DIR):
  sentinel_V_OS_ARCH.tar.gz (.zip for Windows)   all programs for a system
  sentinel-{agent,server,worker}, sentinelctl    .deb and .rpm for Linux
  sentinel-agent_V_amd64.msi                     for Windows, where wixl (msitools) is installed
  sentinel.rb                                    a formula for Homebrew
  SHA256SUMS                                     of everything there

The same sources and version give the same programs.
TEXT
}

version=$(git describe --tags --always 2>/dev/null || echo 0.0.0)
out=dist
targets="linux/amd64 linux/arm64 linux/arm windows/amd64 darwin/arm64"
packages=yes
while [ $# -gt 0 ]; do
	case "$1" in
	--version) version=$2; shift 2 ;;
	--out) out=$2; shift 2 ;;
	--targets) targets=$2; shift 2 ;;
	--no-packages) packages=; shift ;;
	-h | --help) usage; exit 0 ;;
	*) usage >&2; exit 2 ;;
	esac
done
version=${version#v}
[[ $version =~ ^[0-9]+\.[0-9]+ ]] || version=0.0.0-$version
NFPM=github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.2

sources=$PWD
mkdir -p "$out"
out=$(cd "$out" && pwd)
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
[ -z "$packages" ] || GOBIN=$stage GOFLAGS= go install $NFPM

# The host's own programs write man pages, completions and the agent's unit.
make --silent build BIN="$stage/host" VERSION="$version"
mkdir -p "$stage/man" "$stage/completions" "$stage/root"
for p in sentinel-agent sentinel-server sentinel-worker sentinelctl; do
	"$stage/host/$p" reference --form man | gzip -9n >"$stage/man/$p.1.gz"
done
"$stage/host/sentinelctl" completion bash >"$stage/completions/sentinelctl.bash"
"$stage/host/sentinelctl" completion zsh >"$stage/completions/_sentinelctl"
"$stage/host/sentinelctl" completion fish >"$stage/completions/sentinelctl.fish"
"$stage/host/sentinel-agent" install --root "$stage/installed" --program /usr/bin/sentinel-agent --config /etc/sentinel/agent.yml
cp "$stage/installed/etc/systemd/system/sentinel-agent.service" "$stage/installed/etc/sentinel/agent.yml" "$stage/root/"

# What packages run when they are installed and removed differs by the program's name
# and by what is left to do.
mkdir "$stage/scripts"
for role in agent server worker; do
	for script in postinstall preremove; do
		sed -e "s/@ROLE@/$role/g" -e "/@SETUP@/{r deploy/packages/$role-setup.txt
d}" deploy/packages/$script.sh.in >"$stage/scripts/$role-$script.sh"
	done
done
for p in sentinel-agent sentinel-server sentinel-worker sentinelctl; do
	sed "s|@SCRIPTS@|$stage/scripts|" deploy/packages/$p.yml >"$stage/$p.yml"
done

for target in $targets; do
	os=${target%/*} arch=${target#*/}
	name="sentinel_${version}_${os}_${arch}"
	echo "$name"
	GOOS=$os GOARCH=$arch make --silent build BIN="$stage/$name" VERSION="$version"
	cp README.md LICENSE config.example.yml "$stage/$name/"
	if [ "$os" = windows ]; then
		cp deploy/windows/install.ps1 "$stage/$name/"
		(cd "$stage" && zip -qrX "$out/$name.zip" "$name")
		if command -v wixl >/dev/null; then # msitools
			(cd "$stage/$name" && wixl -a x64 -D Version="${version%%-*}" -o "$out/sentinel-agent_${version}_$arch.msi" "$sources/deploy/windows/sentinel-agent.wxs")
		fi
	else
		tar -C "$stage" --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -czf "$out/$name.tar.gz" "$name"
	fi
	[ "$os" = linux ] && [ -n "$packages" ] || continue
	ln -s ../man ../completions ../root "$stage/$name/"
	for p in sentinel-agent sentinel-server sentinel-worker sentinelctl; do
		for kind in deb rpm; do
			ARCH=${arch/%arm/arm7} VERSION=$version STAGE=$stage/$name \
				"$stage/nfpm" package --config "$stage/$p.yml" --packager $kind --target "$out/"
		done
	done
done
darwin=$out/sentinel_${version}_darwin_arm64.tar.gz
if [ -f "$darwin" ]; then
	sed -e "s/@VERSION@/$version/g" -e "s/@SHA256@/$(sha256sum "$darwin" | cut -d' ' -f1)/" deploy/homebrew/sentinel.rb.in >"$out/sentinel.rb"
fi
(cd "$out" && find . -maxdepth 1 -type f ! -name SHA256SUMS -printf '%P\n' | LC_ALL=C sort | xargs sha256sum >SHA256SUMS)
ls -l "$out"
