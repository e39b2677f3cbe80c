// Package wechattest simulates WeCom (企业微信) for tests: the two calls of getagreestatus, gettoken and the suite flow, with
// quotas, as an http.Handler; and a token service beside it.
//
// It answers in the shape of the official page, https://developer.work.weixin.qq.com/document/path/50859, is stricter about
// what it is sent than the API is known to be, and can be told to misbehave: see Fault. Every pair and room has a status
// without being set, derived from its ids, so that millions of them need no memory; what it keeps of a corp begins with the
// corp's first call. In a process of its own it is controlled over HTTP, under /simulator/; docs/simulator.md describes that.
//
// All time is that of package time, looked at when a call arrives, so that it works in virtual time (testing/synctest) too.
//
// It depends on nothing else of this module, so that other projects can test against it too. Who may see whom and which
// corp has authorised which suite is not simulated: a Fault stands in for their errcodes.
package wechattest
