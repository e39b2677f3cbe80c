// Package config reads the daemon's settings: one YAML file, the environment over it, defaults beneath. Whatever is wrong
// is reported at once, each problem with file, line, key and what would be right.
//
// It knows what a setting may be, not what is done with it: that is left to internal/daemon, which hands each package its
// part.
package config
