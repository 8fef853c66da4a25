#!/bin/sh
# After the files are gone. The user stays, and with it what people have put into
# /etc/sentinel: keys are not ours to remove.
set -e
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi
