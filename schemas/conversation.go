package schemas

import (
	"crypto/sha256"
	"fmt"
	"strings"
)

// Kind tells the two sorts of conversations apart.
type Kind string

const (
	// Single is a conversation of one staff member with one customer.
	Single Kind = "single"
	// Room is a group chat.
	Room Kind = "room"
)

// maxIDLength bounds corp, user and chat ids, in characters.
const maxIDLength = 128

// Conversation names what consent is asked for: a pair of Kind Single or a chat of Kind Room. Ids are case-sensitive and
// scoped by the corp, as the same person has other ids under other corps.
type Conversation struct {
	CorpID         string
	Kind           Kind
	OpenUserID     string // of Single
	ExternalUserID string // of Single
	ChatID         string // of Room
}

// AppendKey appends the conversation key, `<corp_id>/single/<open_userid>/<external_userid>` or
// `<corp_id>/room/<chatid>`, to dst.
func (c Conversation) AppendKey(dst []byte) []byte {
	dst = append(dst, c.CorpID...)
	if c.Kind == Room {
		dst = append(dst, "/room/"...)
		return append(dst, c.ChatID...)
	}
	dst = append(dst, "/single/"...)
	dst = append(dst, c.OpenUserID...)
	dst = append(dst, '/')
	return append(dst, c.ExternalUserID...)
}

// Key returns the conversation key.
func (c Conversation) Key() string { return string(c.AppendKey(nil)) }

// ValidIDs returns the conversation without those of its ids that are none.
func (c Conversation) ValidIDs() Conversation {
	for _, id := range []*string{&c.OpenUserID, &c.ExternalUserID, &c.ChatID} {
		if !validID(*id) {
			*id = ""
		}
	}
	return c
}

// ParseKey is the inverse of Key.
func ParseKey(key string) (Conversation, error) {
	corpID, rest, _ := strings.Cut(key, "/")
	kind, ids, _ := strings.Cut(rest, "/")
	c := Conversation{CorpID: corpID, Kind: Kind(kind)}
	valid := validID(corpID)
	switch c.Kind {
	case Single:
		c.OpenUserID, c.ExternalUserID, _ = strings.Cut(ids, "/")
		valid = valid && validID(c.OpenUserID) && validID(c.ExternalUserID)
	case Room:
		c.ChatID = ids
		valid = valid && validID(ids)
	default:
		valid = false
	}
	if !valid {
		return Conversation{}, fmt.Errorf("conversation key %.200q: want "+
			"<corp_id>/single/<open_userid>/<external_userid> or <corp_id>/room/<chatid>, where %s", key, idRule)
	}
	return c, nil
}

// Hash identifies a conversation in memory by 16 bytes instead of its key: the truncated SHA-256 of it, so that no
// choice of ids makes two conversations meet.
type Hash [16]byte

// HashKey returns the Hash of a conversation key.
func HashKey(key []byte) Hash {
	sum := sha256.Sum256(key)
	return Hash(sum[:16])
}

const idRule = "an id is 1 to 128 characters of A-Z a-z 0-9 _ - . @"

var idCharacters = func() (ok [256]bool) {
	for _, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.@" {
		ok[c] = true
	}
	return ok
}()

func validID(id string) bool {
	if len(id) == 0 || len(id) > maxIDLength {
		return false
	}
	for i := range len(id) {
		if !idCharacters[id[i]] {
			return false
		}
	}
	return true
}

// IDProblem says what is wrong with an id, or "" when nothing is.
func IDProblem(id string) string {
	switch {
	case id == "":
		return "missing or empty: " + idRule
	case len(id) > maxIDLength:
		return fmt.Sprintf("%d bytes long: %s", len(id), idRule)
	case !validID(id):
		return fmt.Sprintf("%.140q has other characters: %s", id, idRule)
	}
	return ""
}
