package wechattest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// WrongJSON is the errmsg of a call that WeCom could read only a part of, beside an errcode that may be 0.
const WrongJSON = "Warning: wrong json format."

// Fault is something that goes wrong with some calls. The zero value of a field that selects means any; of several effects
// the first in the order below that leaves no reply, or another one, decides; those about the usual reply go together.
type Fault struct {
	// Corp is the corp id. It never selects calls with an access_token that nobody has, as these have no corp.
	Corp string `json:"corp_id,omitzero"`
	Kind Kind   `json:"kind,omitzero"`
	// ID selects calls that ask for this staff member, customer, room or, as open_userid/external_userid, pair; or that
	// are about a token of this suite or one that it gives.
	ID string `json:"id,omitzero"`
	// Skip is how many of the calls so selected are spared at first.
	Skip int `json:"skip,omitzero"`
	// Count is how many calls are struck before the fault is over; 0: there is no end.
	Count int `json:"count,omitzero"`
	// Probability is the share of the calls that is struck, 0 to 1; 0: all. Options.Seed decides which.
	Probability float64 `json:"probability,omitzero"`

	// Delay is added to the simulator's own, before any other effect. In JSON: delay_ms.
	Delay time.Duration `json:"-"`
	// Hang gives no reply until the caller goes away; ClearFaults closes its connection.
	Hang bool `json:"hang,omitzero"`
	// CloseConnection closes the connection without a reply, ResetConnection resets it.
	CloseConnection bool `json:"close_connection,omitzero"`
	ResetConnection bool `json:"reset_connection,omitzero"`
	// Redirect answers HTTP status 302 to this URL.
	Redirect string `json:"redirect,omitzero"`
	// HTTPStatus (200 to 599; other values count as 500) and Body replace the reply, as something before the API would. One
	// of them is enough: a Body alone has status 200.
	HTTPStatus int    `json:"http_status,omitzero"`
	Body       string `json:"body,omitzero"`
	// Header is added to any reply.
	Header map[string]string `json:"header,omitzero"`

	// Errcode answers with this errcode; the call has no other effect.
	Errcode int `json:"errcode,omitzero"`
	// Errmsg is used verbatim; empty: a usual one with a hint. Alone it goes with the usual reply: see WrongJSON.
	Errmsg string `json:"errmsg,omitzero"`
	// StringErrcode sends the errcode as a JSON string.
	StringErrcode bool `json:"string_errcode,omitzero"`
	// Omit leaves entries of these staff members, customers and pairs (as in ID) out of the reply.
	Omit []string `json:"omit,omitzero"`
	// Drop leaves out so many entries, the first ones.
	Drop int `json:"drop,omitzero"`
	// Add adds so many entries that nobody asked for.
	Add int `json:"add,omitzero"`
	// Repeat names every entry twice.
	Repeat bool `json:"repeat,omitzero"`
	// Shuffle changes the order of the reply's entries.
	Shuffle bool `json:"shuffle,omitzero"`
	// PadBytes adds so many bytes of white space to the reply, which stays valid.
	PadBytes int `json:"pad_bytes,omitzero"`
	// Truncate breaks the connection in the middle of the reply.
	Truncate bool `json:"truncate,omitzero"`
}

const (
	maxPadBytes = 64 << 20
	maxAdd      = 10_000
)

// problem tells what is wrong with a fault that came over HTTP.
func (f *Fault) problem() error {
	between := func(name string, v, least, most int) error {
		if v < least || v > most {
			return fmt.Errorf("%s %d: want %d to %d", name, v, least, most)
		}
		return nil
	}
	const many = 1 << 30
	problems := []error{
		between("skip", f.Skip, 0, many),
		between("count", f.Count, 0, many),
		between("drop", f.Drop, 0, many),
		between("add", f.Add, 0, maxAdd),
		between("pad_bytes", f.PadBytes, 0, maxPadBytes),
	}
	if f.HTTPStatus != 0 {
		problems = append(problems, between("http_status", f.HTTPStatus, 200, 599))
	}
	if f.Kind != "" && !slices.Contains(kinds, f.Kind) {
		problems = append(problems, fmt.Errorf("kind %q: want one of %q", f.Kind, kinds))
	}
	staff, customer, isPair := strings.Cut(f.ID, "/")
	if f.ID != "" && (!validID(staff) || isPair && !validID(customer)) {
		problems = append(problems, fmt.Errorf("id %q: want one id, or open_userid/external_userid", f.ID))
	}
	if f.Probability < 0 || f.Probability > 1 {
		problems = append(problems, fmt.Errorf("probability %v: want 0 to 1", f.Probability))
	}
	if f.Delay <= 0 && len(f.Header) == 0 && !f.disrupts() && !f.changesReply() {
		problems = append(problems, errors.New("no effect: want at least one, such as errcode or delay_ms"))
	}
	return errors.Join(problems...)
}

// disrupts tells whether the API itself gives no answer.
func (f *Fault) disrupts() bool {
	return f.Hang || f.CloseConnection || f.ResetConnection || f.Redirect != "" || f.HTTPStatus != 0 || f.Body != ""
}

func (f *Fault) changesReply() bool {
	return f.Errcode != 0 || f.Errmsg != "" || f.StringErrcode || len(f.Omit) > 0 || f.Drop > 0 || f.Add > 0 || f.Repeat ||
		f.Shuffle || f.PadBytes > 0 || f.Truncate
}
