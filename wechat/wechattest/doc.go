// Package wechattest simulates WeCom (企业微信) for tests: the two calls of getagreestatus and gettoken, as an http.Handler.
//
// It answers in the shape of the official page, https://developer.work.weixin.qq.com/document/path/50859, is stricter about
// what it is sent than the API is known to be, and can be told to misbehave: see Fault. Every pair and room has a status
// without being set, derived from its ids, so that millions of them need no memory. In a process of its own it is
// controlled over HTTP, under /simulator/; docs/simulator.md describes that.
//
// It depends on nothing else of this module, so that other projects can test against it too. Quotas, the suite flow and who
// may see whom are not simulated: a Fault stands in for their errcodes.
package wechattest
