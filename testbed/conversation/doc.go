// Package conversation plays golden conversations between devices, applications
// and a hub: text files that say what is sent and what has to come back, byte
// for byte but for what must differ (times, numbers, secrets). The files in
// testdata need no Go to be read, and any implementation of the device protocol
// can be held to them; testdata/README.txt is their language.
//
// The player has an MQTT client of its own, made by hand, so that what it says
// of the hub does not hang on the codec that the hub uses.
package conversation
