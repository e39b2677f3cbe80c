// Package watch reads results as they come: the events of the results topic, and of the changes topic where there is one, for
// a person or a script to look at.
//
// It commits nothing and joins no group. What an event means is left to schemas and docs/messages.md.
package watch
