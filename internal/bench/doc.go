// Package bench measures the daemon: broker, simulated WeCom and load run in other processes, so that CPU time and memory
// are the daemon's alone. Beside it, in the same run, stands the floor: bare kafka-go that moves the same records in and
// as many out.
package bench
