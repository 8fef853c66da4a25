package collector

import (
	"os"
	"syscall"
)

// definitions is the list of Linux' collectors: one file and one line each.
func definitions() []definition {
	return []definition{
		{"cpu", newCPU},
		{"cpufreq", newCPUFreq},
		{"stat", newStat},
		{"memory", newMemory},
		{"vmstat", newVMStat},
		{"filesystem", newFilesystem},
		{"disk", newDisk},
		{"network", newNetwork},
		{"netclass", newNetClass},
		{"load", newLoad},
		{"processes", newProcesses},
		{"sockstat", newSockStat},
		{"netstat", newNetStat},
		{"tcpstat", newTCPStat},
		{"filefd", newFileFD},
		{"conntrack", newConntrack},
		{"pressure", newPressure},
		{"hwmon", newHwmon},
		{"thermal", newThermal},
		{"uname", newUname},
		{"time", newClock},
		{"timex", newTimex},
		{"cgroup", newCgroup},
		{"containers", newContainers},
		{"systemd", newSystemd},
		{"agent", newSelf},
	}
}

func systemHost() host {
	return host{proc: "/proc", sys: "/sys", mounts: "self", bus: "/run/dbus/system_bus_socket", statfs: statfs, machine: machine(),
		pageSize: os.Getpagesize(), platform: platform{adjtimex: syscall.Adjtimex}}
}

// machine returns what uname -m prints.
func machine() string {
	var u syscall.Utsname
	if syscall.Uname(&u) != nil {
		return ""
	}
	var b []byte
	for _, c := range u.Machine {
		if c == 0 {
			break
		}
		b = append(b, byte(c)) // int8 or uint8, depending on the architecture
	}
	return string(b)
}

// statfs asks the kernel; on a dead network mount it may never return.
func statfs(path string) (volume, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(path, &st); err != nil {
		return volume{}, err
	}
	size := uint64(st.Frsize)
	if size == 0 {
		size = uint64(st.Bsize)
	}
	const readOnly = 1 // ST_RDONLY
	return volume{
		size: st.Blocks * size, free: st.Bfree * size, avail: st.Bavail * size,
		files: st.Files, filesFree: st.Ffree,
		readonly: st.Flags&readOnly != 0,
	}, nil
}

// platform is what only Linux' collectors may look at.
type platform struct {
	adjtimex func(*syscall.Timex) (int, error)
}
