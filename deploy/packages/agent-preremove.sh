#!/bin/sh
# Before the files go: deb says "remove", rpm "0"; an upgrade goes on running.
set -e
case "$1" in
remove | 0)
	if [ -d /run/systemd/system ]; then
		systemctl disable --now sentinel-agent.service
	fi
	;;
esac
