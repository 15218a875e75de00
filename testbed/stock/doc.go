// Package stock holds what stock devices break on: one test for each point, against the real hub, with the bytes that such a device
// sends and reads.
//
// A stock device is a small C program with fixed buffers. It looks for strings in JSON, keeps the first 1,023 bytes of a head, dials
// compiled-in ports and never sends a packet again. Each test says in a comment which of its habits it stands for. Conversations about
// what messages mean are in testbed/conversation.
package stock
