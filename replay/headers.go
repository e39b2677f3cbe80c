package replay

import (
	"strconv"

	"consentd/schemas"
)

// The headers that a replay adds. The daemon carries them over to dead letters, so that the count goes on.
const (
	// HeaderID names the replay.
	HeaderID = "consentd-replay-id"
	// HeaderCount says how often the record was replayed, this time included.
	HeaderCount = "consentd-replay-count"
	// HeaderFrom says where the record was replayed from: topic/partition/offset.
	HeaderFrom = "consentd-replay-from"
)

// replayHeaders is about the most that these three add to a record, in bytes.
const replayHeaders = 512

// replays returns how often a record was replayed, as far as its header says so.
func replays(headers []schemas.Header) int {
	value, _ := schemas.LastHeader(headers, HeaderCount)
	n, err := strconv.Atoi(string(value))
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// appendHeaders appends a record's headers to dst, with those of an earlier replay replaced by ours. count is how often the
// record was replayed, this time included.
func appendHeaders(dst, headers []schemas.Header, id []byte, count int, from schemas.Origin) []schemas.Header {
	for _, h := range headers {
		switch h.Key {
		case HeaderID, HeaderCount, HeaderFrom:
		default:
			dst = append(dst, h)
		}
	}
	return append(dst,
		schemas.Header{Key: HeaderID, Value: id},
		schemas.Header{Key: HeaderCount, Value: strconv.AppendInt(nil, int64(count), 10)},
		schemas.Header{Key: HeaderFrom, Value: []byte(from.String())})
}
