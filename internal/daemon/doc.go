// Package daemon wires consentd together from its configuration: the cluster, the API's client, the consumer group, and a
// pipeline for each of its generations.
package daemon
