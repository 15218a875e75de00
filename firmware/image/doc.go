// Package image cuts firmware images into chunks and moves the chunks in packs.
//
// An image is cut where its content says (FastCDC), so that two images that share content share chunks wherever it lies.
// The list of chunks with their digests is the Index; its own digest stands in a signed manifest, and with it everything else
// can be checked. The full pack holds each chunk compressed alone, so that any of them can be fetched with a range request.
//
// The package promises that no byte of a pack leaves it before the chunk that it belongs to matches the index, and that
// reading costs a bounded amount of memory, whatever is read. It leaves to others who signed the index (firmware/manifest), how an
// old image helps to make a new one (firmware/delta), and retries and timeouts of a network.
//
// docs/formats/image.md draws the formats.
package image
