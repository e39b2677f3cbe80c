// Package broker speaks to the Kafka cluster: the requests that kafka-go lacks or makes slow, sent over kafka-go's own
// connections (TLS and SASL included), record batches read and written in place, and topics looked up and made.
//
// It knows nothing of what records mean, of groups' assignments or of what must be published together: that is left to
// the packages consumer, status and producer.
package broker
