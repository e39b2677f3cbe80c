package wechat

import (
	"errors"
	"fmt"
	"reflect"

	"consentd/schemas"
)

// Corp is a corp that may be asked about, and where its access_token comes from.
type Corp struct {
	ID     string
	Source TokenSource
}

// tokensByCorp is never changed once it is in use.
type tokensByCorp map[string]*tokenCache

// SetCorps replaces the corps that may be asked about, all at once: of those that are gone every later call is of class
// unknown_corp. A corp whose source is equal (==) to what it was keeps its token, and the pause after a refused credential;
// with another source it begins anew. Calls in flight go on with what they began with. After an error, which names every
// problem, the corps are as before. It is safe for concurrent use.
func (c *Client) SetCorps(corps []Corp) error {
	c.setCorps.Lock()
	defer c.setCorps.Unlock()
	old := *c.corps.Load()
	next := make(tokensByCorp, len(corps))
	var problems []error
	for i, corp := range corps {
		switch {
		case corp.ID == "":
			problems = append(problems, fmt.Errorf("corp %d: want an id", i))
		case corp.Source == nil:
			problems = append(problems, fmt.Errorf("corp %s: want a token source", corp.ID))
		case next[corp.ID] != nil:
			problems = append(problems, fmt.Errorf("corp %s stands twice: want each corp once", corp.ID))
		case old[corp.ID] != nil && sameSource(old[corp.ID].source, corp.Source):
			next[corp.ID] = old[corp.ID]
		default:
			next[corp.ID] = newTokenCache(corp.Source)
			next[corp.ID].observer = c.observer
		}
	}
	if err := errors.Join(problems...); err != nil {
		return err
	}
	c.corps.Store(&next)
	return nil
}

// sameSource knows that comparing other packages' sources may panic.
func sameSource(a, b TokenSource) bool {
	return reflect.ValueOf(a).Comparable() && reflect.ValueOf(b).Comparable() && a == b
}

// Knows tells whether the client can ask about the corp.
func (c *Client) Knows(corpID string) bool { return (*c.corps.Load())[corpID] != nil }

// Provider names what an Error with AllCorps concerns: all corps of the same provider, which is "suite " and its id, or the
// kind of the source: gettoken, http, file or static. It is empty for an unknown corp and for a source that does not say:
// such a corp stands alone.
func (c *Client) Provider(corpID string) string {
	tokens := (*c.corps.Load())[corpID]
	if tokens == nil {
		return ""
	}
	if s, ok := tokens.source.(interface{ Provider() string }); ok {
		return s.Provider()
	}
	return ""
}

func (c *Client) tokens(corpID string) (*tokenCache, error) {
	if tokens := (*c.corps.Load())[corpID]; tokens != nil {
		return tokens, nil
	}
	return nil, failure(schemas.UnknownCorp, nil, "no access_token is configured for this corp: add it to corps")
}
