//go:build unix

package plugin

import "syscall"

// hurry takes the niceness from a process group, which is detach's; Linux allows that an
// agent without privileges where its unit says LimitNICE=+0.
func hurry(group int) {
	_ = syscall.Setpriority(syscall.PRIO_PGRP, group, 0) // else its end takes longer
}

// childEnvironment is what a plugin's process finds in its environment.
func childEnvironment() []string {
	return []string{"PATH=/usr/bin:/bin", "LC_ALL=C", "GOTRACEBACK=none"}
}
