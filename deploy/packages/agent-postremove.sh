#!/bin/sh
# After the files are gone. What is not sent yet and the identity stay with "remove";
# "purge" takes them. An rpm has no purge: there they stay.
set -e
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi
case "$1" in
purge)
	# With DynamicUser the first is a link to the second.
	rm -rf /var/lib/sentinel-agent /var/lib/private/sentinel-agent
	rmdir --ignore-fail-on-non-empty /etc/sentinel 2>/dev/null || [ ! -d /etc/sentinel ]
	;;
esac
