// Package wechat asks WeCom for the consent status of conversations: the two calls of getagreestatus, the access_token
// that they need, and what each failure means.
//
// Each corp has a TokenSource; a Client fetches from it ahead of the token's end, once for all who wait. The corps of a
// provider share the token of their Suite.
//
// A call is one HTTP POST; only a refused access_token is replaced and the call repeated, once. Everything else that may
// be tried again is left to checker, to which an Error says whether that helps: batches, matching of replies to those who
// asked, pauses and limits are its own. What is known and what changed is left to status, where settings come from to
// config. wechattest, below this package, is the simulated WeCom.
//
// No error of this package holds an access_token, a secret, or the user and query of a URL.
package wechat
