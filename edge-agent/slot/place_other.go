//go:build !linux

package slot

import "os"

// OpenPlace opens a file or a device for reading and writing. It makes none.
func OpenPlace(path string) (Place, error) { return os.OpenFile(path, os.O_RDWR, 0) }
