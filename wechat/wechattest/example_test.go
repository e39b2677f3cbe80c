package wechattest_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"consentd/wechat/wechattest"
)

// A client of another project is pointed at the simulator instead of https://qyapi.weixin.qq.com. In a test, sim.Start(t)
// does what httptest.NewServer does here.
func Example() {
	sim := wechattest.New(wechattest.Options{Corps: map[string]string{"ww1": "secret"}})
	server := httptest.NewServer(sim)
	defer server.Close()

	sim.SetSingle("ww1", "XuJinSheng", "wm1", wechattest.Status{AgreeStatus: wechattest.Agree, ChangeTime: 1562766651})
	ask := func() {
		resp, err := http.Post(server.URL+"/cgi-bin/chatdata/getagreestatus/single?access_token="+sim.Token("ww1"),
			"application/json", strings.NewReader(`{"item":[{"open_userid":"XuJinSheng","external_userid":"wm1"}]}`))
		if err != nil {
			fmt.Println(err)
			return
		}
		defer resp.Body.Close()
		reply, _ := io.ReadAll(resp.Body)
		fmt.Println(string(reply))
	}

	ask()
	// The customer withdraws.
	for _, f := range sim.Flip(1, 0) {
		fmt.Println(f.ExternalUserID, f.Previous.AgreeStatus, "->", f.Current.AgreeStatus)
	}
	// The next call meets an API that is busy.
	sim.Script(wechattest.Fault{Kind: wechattest.Single, Count: 1, Errcode: -1, Errmsg: "system busy"})
	ask()
	fmt.Println(sim.Stats().Calls.Single, "calls")
	http.DefaultClient.CloseIdleConnections()

	// Output:
	// {"errcode":0,"errmsg":"ok","agreeinfo":[{"status_change_time":1562766651,"open_userid":"XuJinSheng","external_userid":"wm1","agree_status":"Agree"}]}
	// wm1 Agree -> Disagree
	// {"errcode":-1,"errmsg":"system busy"}
	// 2 calls
}
