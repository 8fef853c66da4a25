#!/bin/sh
# After the files are there. deb says "configure OLD-VERSION", rpm the number of
# installed versions.
set -e
upgrade=
case "$1" in
configure) [ -z "$2" ] || upgrade=yes ;;
2) upgrade=yes ;;
esac
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	if [ -n "$upgrade" ]; then
		systemctl try-restart sentinel-agent.service
	else
		systemctl enable sentinel-agent.service
	fi
fi
if [ -z "$upgrade" ]; then
	cat <<'TEXT'
sentinel-agent is installed. To let this host speak for itself:

  1. say in /etc/sentinel/agent.yml where the server is
  2. sentinel-agent enroll --enrolment-token-file FILE
     (`sentinelctl enrolment create NAME --out FILE` makes the token)
  3. systemctl start sentinel-agent
TEXT
fi
