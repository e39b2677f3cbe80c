package wechattest

// hash is FNV-1a over strings, each closed by a byte that no valid UTF-8 has. It is the same in every process.
type hash uint64

const (
	hashOffset hash = 14695981039346656037
	hashPrime  hash = 1099511628211
)

func newHash(seed uint64) hash {
	h := hashOffset
	for range 8 {
		h = (h ^ hash(seed&0xff)) * hashPrime
		seed >>= 8
	}
	return h
}

func (h hash) add(s string) hash {
	for i := range len(s) {
		h = (h ^ hash(s[i])) * hashPrime
	}
	return (h ^ 0xff) * hashPrime
}

// sum spreads what was added over all bits, as FNV-1a alone does not: murmur3's finalizer.
func (h hash) sum() uint64 {
	x := uint64(h)
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// appendID appends 22 letters and digits.
func (h hash) appendID(b []byte) []byte {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	for _, half := range []string{"1", "2"} {
		x := h.add(half).sum()
		for range 11 {
			b = append(b, alphabet[x%uint64(len(alphabet))])
			x /= uint64(len(alphabet))
		}
	}
	return b
}
