package wechattest

import (
	"net/http"
	"strings"
	"testing"
)

// The samples of the official page without their trailing commas and white space.
const (
	pageSingle = `{"errcode":0,"errmsg":"ok","agreeinfo":[` +
		`{"status_change_time":1562766651,"open_userid":"XuJinSheng","external_userid":"wmeDKaCPAAGdvxciQWxVsAKwV2HxNAAA","agree_status":"Agree"},` +
		`{"status_change_time":1562766651,"open_userid":"XuJinSheng","external_userid":"wmeDKaCQAAIQ_p7ACnxksfeBJSGocAAA","agree_status":"Disagree"},` +
		`{"status_change_time":1562766651,"open_userid":"XuJinSheng","external_userid":"wmeDKaCwAAIQ_p7ACnxckLBBJSGocAAA","agree_status":"Agree"}]}`
	pageRoom = `{"errcode":0,"errmsg":"ok","agreeinfo":[` +
		`{"status_change_time":1562766651,"external_userid":"wmeDKaCQAAGdtHdiQWxVadfwV2HxNAAA","agree_status":"Agree"},` +
		`{"status_change_time":1562766651,"external_userid":"wmeDKaCQAAIQ_p9ACyiopLBBJSGocAAA","agree_status":"Disagree"},` +
		`{"status_change_time":1562766651,"external_userid":"wmeDKaCQAAIQ_p9ACnxacyBBJSGocAAA","agree_status":"Agree"}]}`
)

func TestReply_HasTheShapeOfTheOfficialPage(t *testing.T) {
	t.Parallel()
	w := setup(t, Options{})
	agree, disagree := Status{Agree, 1562766651}, Status{Disagree, 1562766651}
	const staff = "XuJinSheng"
	asked := []pair{
		{staff, "wmeDKaCPAAGdvxciQWxVsAKwV2HxNAAA"}, {staff, "wmeDKaCQAAIQ_p7ACnxksfeBJSGocAAA"}, {staff, "wmeDKaCwAAIQ_p7ACnxckLBBJSGocAAA"},
	}
	for i, status := range []Status{agree, disagree, agree} {
		w.sim.SetSingle(corpID, staff, asked[i].customer, status)
	}
	w.sim.SetRoom(corpID, "wrjc7bDwAASxc8tZvBErFE02BtPWyAAA", []Member{
		{"wmeDKaCQAAGdtHdiQWxVadfwV2HxNAAA", agree}, {"wmeDKaCQAAIQ_p9ACyiopLBBJSGocAAA", disagree}, {"wmeDKaCQAAIQ_p9ACnxacyBBJSGocAAA", agree},
	})
	for _, c := range []struct {
		name, want string
		got        answer
	}{
		{"single", pageSingle, w.single(asked...)},
		{"room", pageRoom, w.room("wrjc7bDwAASxc8tZvBErFE02BtPWyAAA")},
	} {
		if c.got.body != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, c.got.body, c.want)
		}
		if code, msg := c.got.header.Get("Error-Code"), c.got.header.Get("Error-Msg"); code != "0" || msg != "ok" {
			t.Errorf("%s: Error-Code %q, Error-Msg %q, want 0 and ok", c.name, code, msg)
		}
	}
}

func TestReply_EveryErrorHasAnotherHintAndTheCallersIP(t *testing.T) {
	t.Parallel()
	w := setup(t, Options{})
	ask := func() answer { return w.call(http.MethodPost, singleOf("nobody's"), singleBodyOf(pair{"a", "wm1"})) }
	first, second := ask(), ask()
	for _, a := range []answer{first, second} {
		a.want(t, 40014)
		if !strings.HasPrefix(a.Errmsg, "invalid access_token, hint: [") || !strings.Contains(a.Errmsg, "from ip: 127.0.0.1,") {
			t.Errorf("errmsg %q: want a text, a hint and the IP", a.Errmsg)
		}
		if a.header.Get("Error-Code") != "40014" || a.header.Get("Error-Msg") != a.Errmsg {
			t.Errorf("headers %v: want errcode and errmsg in them", a.header)
		}
	}
	if first.Errmsg == second.Errmsg {
		t.Errorf("errmsg %q twice: want another hint", first.Errmsg)
	}
}

func TestReply_StrangeWordsAndIDsAreValidJSON(t *testing.T) {
	t.Parallel()
	w := setup(t, Options{})
	w.sim.SetSingle(corpID, "a", "wm1", Status{"Default \"Agree\"\n\xff", -1})
	w.sim.SetRoom(corpID, "wr1", []Member{{ExternalUserID: "w\\m"}})
	if got, want := w.single(pair{"a", "wm1"}).words(), "a/wm1=Default \"Agree\"\n\uFFFD"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := w.room("wr1").words(), `w\m=`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
