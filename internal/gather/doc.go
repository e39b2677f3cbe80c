// Package gather makes requests of conversations: pairs of a corp go together, as many as a call takes, however mixed they
// come.
package gather
