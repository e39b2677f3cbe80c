package check

import "fmt"

// offsets looks whether anything is left that the group has not committed, or whether it committed what is not there.
func (c *checker) offsets() {
	for _, commit := range c.h.Commits {
		partition := fmt.Sprintf("%s/%d", commit.Topic, commit.Partition)
		switch {
		case len(commit.Beyond) > 0:
			c.broken(OffsetsCommitted, partition, fmt.Sprintf("committed is %d, and %d records are there or after, up to %d; its metadata is %q",
				commit.Offset, len(commit.Beyond), commit.End, commit.Metadata), commit.Beyond[0])
		case commit.Open:
			c.broken(OffsetsCommitted, partition, fmt.Sprintf("a transaction is open behind %d: what it wrote can't be read", commit.End))
		case commit.Offset > commit.End:
			c.broken(OffsetsCommitted, partition, fmt.Sprintf("committed is %d, beyond the end, which is %d", commit.Offset, commit.End))
		}
	}
}
