// Package dev is consentd on one machine without installing anything: an embedded broker, the simulated WeCom, the daemon
// and traffic, in one process. It is what `consentd dev` runs.
package dev
