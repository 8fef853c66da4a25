// Package deploy holds the files with which Sentinel is installed on a host, for
// the programs that write them there.
package deploy

import _ "embed" // for the files below

// SystemdUnit is the agent's unit. It names the program and its configuration by
// the paths ProgramPath and ConfigPath, as LaunchdJob does.
//
//go:embed systemd/sentinel-agent.service
var systemdUnit string

//go:embed launchd/com.sentinelgo.agent.plist
var launchdJob string

//go:embed agent.yml
var agentConfig string

// The paths that the unit and the job have in them.
const (
	ProgramPath = "/usr/local/bin/sentinel-agent"
	ConfigPath  = "/etc/sentinel/sentinel.yml"
)

// ServerAddress is how AgentConfig says where the gateway is.
const ServerAddress = "address: 127.0.0.1:7443"

// SystemdUnit returns the agent's unit file.
func SystemdUnit() string { return systemdUnit }

// LaunchdJob returns the agent's job for launchd, label com.sentinelgo.agent.
func LaunchdJob() string { return launchdJob }

// AgentConfig returns the configuration that a new agent starts from.
func AgentConfig() string { return agentConfig }
