// Package schemas holds the messages that consentd exchanges with other programs: requests, results, status records and
// dead letters, with their decoding, encoding, keys and ids. Their JSON Schemas and the AsyncAPI document are embedded.
//
// It knows neither Kafka nor HTTP: how a message travels is left to the packages consumer, producer and wechat, and what
// follows from one to checker and status.
package schemas
