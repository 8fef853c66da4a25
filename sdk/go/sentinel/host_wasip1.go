//go:build wasip1

package sentinel

import "unsafe"

//go:wasmexport sentinel_abi_version
func abiVersion() int32 { return ABI }

//go:wasmexport sentinel_collect
func collect() int32 { return collectOnce() }

//go:wasmimport sentinel emit
func wasmEmit(p unsafe.Pointer, n uint32) int32

//go:wasmimport sentinel log
func wasmLog(level int32, p unsafe.Pointer, n uint32)

//go:wasmimport sentinel now
func hostNow() int64

//go:wasmimport sentinel config
func wasmConfig(p unsafe.Pointer, n uint32) int32

//go:wasmimport sentinel take
func wasmTake(p unsafe.Pointer, n uint32) int32

//go:wasmimport sentinel http_get
func wasmHTTPGet(p unsafe.Pointer, n uint32) int64

//go:wasmimport sentinel tcp_request
func wasmTCPRequest(p unsafe.Pointer, n uint32, q unsafe.Pointer, m uint32) int64

//go:wasmimport sentinel read_file
func wasmReadFile(p unsafe.Pointer, n uint32) int64

// at returns where a text is.
func at(s string) (unsafe.Pointer, uint32) {
	return unsafe.Pointer(unsafe.StringData(s)), uint32(len(s))
}

func hostEmit(b []byte) int32 { return wasmEmit(unsafe.Pointer(unsafe.SliceData(b)), uint32(len(b))) }

func hostTake(b []byte) int32 { return wasmTake(unsafe.Pointer(unsafe.SliceData(b)), uint32(len(b))) }

func hostLog(level int32, text string) {
	p, n := at(text)
	wasmLog(level, p, n)
}

func hostConfig(key string) int32 { return wasmConfig(at(key)) }

func hostHTTPGet(url string) int64 { return wasmHTTPGet(at(url)) }

func hostReadFile(path string) int64 { return wasmReadFile(at(path)) }

func hostTCPRequest(address, request string) int64 {
	p, n := at(address)
	q, m := at(request)
	return wasmTCPRequest(p, n, q, m)
}
