package lookup

import (
	"encoding/json"

	"consentd/schemas"
)

// line is an entry as it is exported.
type line struct {
	Key            string       `json:"key"`
	CorpID         string       `json:"corp_id"`
	Kind           schemas.Kind `json:"kind"`
	OpenUserID     string       `json:"open_userid,omitempty"`
	ExternalUserID string       `json:"external_userid,omitempty"`
	ChatID         string       `json:"chatid,omitempty"`
	Consented      bool         `json:"consented"`
	// Status is the record of the status topic, word for word as messages.md has it.
	Status json.RawMessage `json:"status"`
}

// JSON is the entry as one line of JSON, without its end: the conversation's key and ids, whether it consented, and the status
// record.
func (e *Entry) JSON() ([]byte, error) {
	c := e.Conversation
	return json.Marshal(line{
		Key: c.Key(), CorpID: c.CorpID, Kind: c.Kind, OpenUserID: c.OpenUserID, ExternalUserID: c.ExternalUserID, ChatID: c.ChatID,
		Consented: e.Consented(), Status: schemas.AppendStatus(nil, c.Kind, &e.Status),
	})
}
