// Package delta makes a new firmware image of an old one and a small pack.
//
// A delta pack says for every chunk of the new image's index where it comes from: it lies in the old image (COPY), it is made of a window
// of the old image and a patch (PATCH), it is in the pack (FULL), or it is zeros. A window has 256 KiB at most, so that a device with 4 MiB
// to spare applies a pack of any size.
//
// Packs are not signed. The package promises that nothing is written which does not match the index, that a wrong base, a bad
// patch or a hostile pack costs a chunk that is fetched from elsewhere and never the update, that a run which was cut off goes on where it
// was, and that bad bytes are errors and neither panics nor memory. It leaves to others who signed the index (firmware/manifest),
// where the old image and the slot for the new one are, and retries and timeouts of a network.
//
// docs/formats/delta.md draws the format.
package delta
