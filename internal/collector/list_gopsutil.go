//go:build windows || darwin

package collector

import system "github.com/shirou/gopsutil/v4/host"

// definitions is the list of the collectors of Windows and macOS: one file and one
// line each. They say less than Linux' ones, under the same names where the
// meaning is the same.
func definitions() []definition {
	return append([]definition{
		{"cpu", newCPU},
		{"memory", newMemory},
		{"filesystem", newFilesystem},
		{"disk", newDisk},
		{"network", newNetwork},
		{"load", newLoad},
		{"uname", newUname},
		{"time", newClock},
		{"agent", newSelf},
	}, systemDefinitions()...)
}

func systemHost() host {
	arch, err := system.KernelArch()
	if err != nil {
		arch = ""
	}
	return host{machine: arch}
}

// platform is what only this system's collectors may look at.
type platform struct{}
