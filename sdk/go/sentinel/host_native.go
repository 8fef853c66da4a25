//go:build !wasip1

package sentinel

// Host is what stands in for an agent where a plugin is tested natively; see package
// sentineltest. Results are those of the functions of the ABI.
type Host struct {
	Emit       func(records []byte) int32
	Log        func(level Level, text string)
	Now        func() int64
	Config     func(key string) int32
	Take       func(to []byte) int32
	HTTPGet    func(url string) int64
	TCPRequest func(address, request string) int64
	ReadFile   func(path string) int64
}

var host *Host

// With calls the function that was given to Collect, once, with a host. It returns what
// the agent would see: 0 where all was well.
func With(h *Host) int32 {
	host = h
	defer func() { host = nil }()
	return collectOnce()
}

func in() *Host {
	if host == nil {
		panic("sentinel: there is no host here; package sentineltest gives tests one")
	}
	return host
}

func hostEmit(b []byte) int32                      { return in().Emit(b) }
func hostTake(b []byte) int32                      { return in().Take(b) }
func hostNow() int64                               { return in().Now() }
func hostLog(level int32, text string)             { in().Log(Level(level), text) }
func hostConfig(key string) int32                  { return in().Config(key) }
func hostHTTPGet(url string) int64                 { return in().HTTPGet(url) }
func hostReadFile(path string) int64               { return in().ReadFile(path) }
func hostTCPRequest(address, request string) int64 { return in().TCPRequest(address, request) }
