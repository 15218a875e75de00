// Package interop runs clients that others wrote against a real hub: mosquitto's, Node's mqtt, and Eclipse Paho for Python and
// Go. Each connects, with and without TLS, keeps a session, uses all qualities of service, and is cut off again and again in
// mid-flight: what was acknowledged must be there, once where the protocol says once.
//
// A client is a worker process of a few lines in its own language, told what to do by one JSON argument; it prints what happens
// as JSON lines and disconnects when its standard input ends.
package interop
