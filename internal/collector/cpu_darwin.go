package collector

func cpuModes() []string { return []string{"user", "system", "idle", "nice"} }
