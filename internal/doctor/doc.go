// Package doctor looks for what keeps a configuration from working: from the brokers' addresses to a harmless call for each
// corp. Each finding says what is the case, what to do, and which key to change.
//
// Nothing that it does changes anything, and no secret stands in a finding. What a healthy topic is says topics, what an errcode
// means wechat.
package doctor
