#!/bin/sh
# After the files are there. deb says "configure OLD-VERSION", rpm the number of
# installed versions.
set -e
if ! getent passwd sentinel >/dev/null; then
	useradd --system --user-group --home-dir /nonexistent --no-create-home --shell /usr/sbin/nologin sentinel
fi
chown root:sentinel /etc/sentinel/worker.yml
upgrade=
case "$1" in
configure) [ -z "$2" ] || upgrade=yes ;;
2) upgrade=yes ;;
esac
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	if [ -n "$upgrade" ]; then
		systemctl try-restart sentinel-worker.service
	else
		systemctl enable sentinel-worker.service
	fi
fi
if [ -z "$upgrade" ]; then
	cat <<'TEXT'
sentinel-worker is installed. Before the first start:

  1. put into /etc/sentinel: database-url, and the server's master.key
  2. chown root:sentinel and chmod 0640 both
  3. systemctl start sentinel-worker
TEXT
fi
