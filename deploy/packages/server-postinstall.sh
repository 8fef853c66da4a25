#!/bin/sh
# After the files are there. deb says "configure OLD-VERSION", rpm the number of
# installed versions.
set -e
if ! getent passwd sentinel >/dev/null; then
	useradd --system --user-group --home-dir /nonexistent --no-create-home --shell /usr/sbin/nologin sentinel
fi
chown root:sentinel /etc/sentinel/server.yml
upgrade=
case "$1" in
configure) [ -z "$2" ] || upgrade=yes ;;
2) upgrade=yes ;;
esac
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	if [ -n "$upgrade" ]; then
		systemctl try-restart sentinel-server.service
	else
		systemctl enable sentinel-server.service
	fi
fi
if [ -z "$upgrade" ]; then
	cat <<'TEXT'
sentinel-server is installed. Before the first start:

  1. put into /etc/sentinel: server.crt, server.key, database-url
  2. sentinel-server master-key create /etc/sentinel/master.key
     (back it up, and bring it to every server and worker)
  3. chown root:sentinel and chmod 0640 each of them
  4. systemctl start sentinel-server
  5. sentinel-server --config /etc/sentinel/server.yml setup-token
     (makes the link for the first administrator)
TEXT
fi
