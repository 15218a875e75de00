// Package interop runs clients that others wrote against a real hub: mosquitto's, Node's mqtt, and Eclipse Paho for Python and
// Go. Each connects, with and without TLS, keeps a session, uses all qualities of service, and is cut off again and again in
// mid-flight: what was acknowledged must be there, once where the protocol says once.
//
// A client is a worker process of a few lines in its own language, told what to do by one JSON argument; it prints what happens
// as JSON lines and disconnects when its standard input ends.
//
// At QoS 2 each client is held to exactly once for each message that it sent, by what a witness between it and the hub sees. Some send a message
// as a new one, under another id or behind its PUBREL, when they are cut off: paho.mqtt.golang mostly, Node's mqtt now and then. No server can
// tell that from another message.
package interop
