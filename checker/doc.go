// Package checker turns requests into outcomes: it gathers what is asked for into calls, corp by corp, asks the API with
// retry and backoff, and matches replies to those who wait.
//
// It knows neither Kafka nor HTTP. What an outcome means for the known status and how it is published is left to status
// and producer; how a call is made, to wechat.
package checker
