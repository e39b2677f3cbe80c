package status

import (
	"context"
	"fmt"

	"consentd/schemas"
)

// Log is the status topic as the table is restored from it.
type Log interface {
	// ReadToEnd hands on, from one goroutine, every committed record from the log's start to the high watermark that
	// each partition has at the call. A nil value is a tombstone.
	ReadToEnd(ctx context.Context, take func(key, value []byte) error) error
}

// Restore fills an empty table from the status topic. A record that can't be understood is handed to bad, and what it
// stands for is unknown: the next check finds it first_seen, which is better than to stand still.
func Restore(ctx context.Context, log Log, bad func(key []byte, err error)) (*Table, error) {
	t := NewTable()
	err := log.ReadToEnd(ctx, func(key, value []byte) error {
		c, err := schemas.ParseKey(string(key))
		if err != nil {
			bad(key, err)
			return nil
		}
		h := schemas.HashKey(key)
		if value == nil {
			t.Forget(h)
			return nil
		}
		s, err := schemas.DecodeStatus(c.Kind, value)
		if err != nil {
			t.Forget(h)
			bad(key, err)
			return nil
		}
		t.Put(h, Entry{Kind: c.Kind, Status: s, StoredAt: s.CheckedAt})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("restore the status: %w", err)
	}
	return t, nil
}
