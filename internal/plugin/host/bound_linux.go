package host

import "os"

// offer makes this process the first one that the system ends where memory runs out,
// before the agent, with which it shares the limit of a service.
func offer() error {
	err := os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0)
	if os.IsPermission(err) || os.IsNotExist(err) {
		return nil // there is no /proc, or a container that does not let it
	}
	return err
}
