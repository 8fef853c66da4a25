package collector

import (
	"context"
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/windows"
)

// services asks the service manager for the states of the services that are selected,
// under windows_exporter's name. It needs no more rights than to list them.
type services struct {
	filter filter
	named  bool
	buf    []uint64 // whose places fit the structures that the manager writes
}

// maxServices bounds the services that are named.
const maxServices = 200

func systemDefinitions() []definition { return []definition{{"services", newServices}} }

func newServices(h host) (collector, error) {
	f, err := h.cfg.Services.compile()
	return &services{filter: f, named: h.cfg.Services.Include != "", buf: make([]uint64, 0)}, err
}

// serviceStates are the states by number, from 1 on (winsvc.h).
func serviceStates() []string {
	return []string{"stopped", "start pending", "stop pending", "running", "continue pending", "pause pending", "paused"}
}

func (c *services) collect(_ context.Context, p *page) error {
	if !c.named {
		return errNothing
	}
	list, err := c.list()
	if err != nil {
		return err
	}
	units := 0
	for _, s := range list {
		name := windows.UTF16PtrToString(s.ServiceName)
		if !c.filter.takes(name) {
			continue
		}
		if units++; units > maxServices {
			continue
		}
		row, known := p.row([]byte(name))
		if !known {
			for _, state := range serviceStates() {
				row = append(row, p.define("", []column{gauge("windows_service_state", "")}, "name", name, "state", state)...)
			}
			row = p.keep(name, row)
		}
		for i := range row {
			v := 0.0
			if int(s.ServiceStatusProcess.CurrentState) == i+1 {
				v = 1
			}
			p.set(row[i], v)
		}
	}
	if units > maxServices {
		return fmt.Errorf("%d services match, of which %d are named", units, maxServices)
	}
	return nil
}

// list returns all services. What it returns points into c.buf.
func (c *services) list() ([]windows.ENUM_SERVICE_STATUS_PROCESS, error) {
	manager, err := windows.OpenSCManager(nil, nil, windows.SC_MANAGER_CONNECT|windows.SC_MANAGER_ENUMERATE_SERVICE)
	if err != nil {
		return nil, fmt.Errorf("open the service manager: %w", err)
	}
	defer func() { _ = windows.CloseServiceHandle(manager) }()
	for {
		var needed, count uint32
		var at *byte
		if len(c.buf) > 0 {
			at = (*byte)(unsafe.Pointer(&c.buf[0]))
		}
		size := uint32(len(c.buf) * 8)
		err := windows.EnumServicesStatusEx(manager, windows.SC_ENUM_PROCESS_INFO, windows.SERVICE_WIN32, windows.SERVICE_STATE_ALL,
			at, size, &needed, &count, nil, nil)
		switch {
		case err == nil && count == 0:
			return nil, nil
		case err == nil:
			return unsafe.Slice((*windows.ENUM_SERVICE_STATUS_PROCESS)(unsafe.Pointer(&c.buf[0])), int(count)), nil
		case !errors.Is(err, windows.ERROR_MORE_DATA) || uint64(size)+uint64(needed) > maxServiceBytes:
			return nil, fmt.Errorf("list services: %w", err)
		}
		// What is needed is what did not fit; some more for those that come meanwhile.
		c.buf = make([]uint64, (size+needed)/8+512)
	}
}

// maxServiceBytes bounds what the manager may answer; 300 services take 60 KB.
const maxServiceBytes = 4 << 20
