// Package cpu says what this process has cost so far.
package cpu

import "syscall"

// Seconds of CPU that the process took, in user and kernel mode, its garbage collector included.
func Seconds() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
}
