package replay

import (
	"cmp"

	"consentd/internal/broker"
	"consentd/schemas"
)

// latest has the latest record of each conversation: about 100 bytes each.
type latest map[schemas.Hash]place

// place is where and when a record was written.
type place struct {
	at        int64 // unix ms
	offset    int64
	partition int32
}

// compare orders by time; the partition's number decides where nothing else does.
func (p place) compare(o place) int {
	return cmp.Or(cmp.Compare(p.at, o.at), cmp.Compare(p.offset, o.offset), cmp.Compare(p.partition, o.partition))
}

func placeOf(partition int32, r *broker.Record) place { return place{r.Timestamp, r.Offset, partition} }

// add takes a record into account.
func (l latest) add(partition int32, r *broker.Record) {
	here := placeOf(partition, r)
	for _, c := range conversations(r) {
		if known, ok := l[c]; !ok || known.compare(here) < 0 {
			l[c] = here
		}
	}
}

// has tells whether a record is the latest of one of its conversations. One that names none is superseded by nothing.
func (l latest) has(partition int32, r *broker.Record) bool {
	all := conversations(r)
	for _, c := range all {
		if l[c] == placeOf(partition, r) {
			return true
		}
	}
	return len(all) == 0
}

// conversations returns what a request asks about, or an event is about.
func conversations(r *broker.Record) []schemas.Hash {
	if isEvent(r) {
		if subject, ok := schemas.LastHeader(r.Headers, schemas.HeaderSubject); ok {
			return []schemas.Hash{schemas.HashKey(subject)}
		}
		return nil
	}
	req, err := schemas.DecodeRequest(r.Key, r.Value, r.Headers)
	if err != nil {
		return nil
	}
	var all []schemas.Hash
	var key []byte
	for i := range req.Items {
		if req.Items[i].Problem == "" {
			key = req.Conversation(i).AppendKey(key[:0])
			all = append(all, schemas.HashKey(key))
		}
	}
	return all
}
