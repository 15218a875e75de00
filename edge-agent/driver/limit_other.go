//go:build !linux

package driver

import "errors"

func limit(_ int, memory uint64) error {
	if memory == 0 {
		return nil
	}
	return errors.New("driver: this system can't")
}
