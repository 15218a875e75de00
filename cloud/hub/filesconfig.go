package hub

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/hawser-iot/hawser/cloud/ota"
	"github.com/hawser-iot/hawser/cloud/ota/artifact"
	"github.com/hawser-iot/hawser/cloud/upload"
)

// FilesConfig is what devices may send as files, and how long it is kept, see upload.Config, and what firmware they may get.
type FilesConfig struct {
	MaxSize, MaxCount, MaxBytes int
	Age                         time.Duration

	FirmwareMaxSize int // bytes
	// FirmwarePlainHTTP lets devices download firmware without TLS, where everybody on the way could change it. Behind a proxy that
	// ends TLS it must be on too.
	FirmwarePlainHTTP bool
	FirmwareDeltas    int // from how many images of a module there are deltas to a signed release
}

func defaultFiles() FilesConfig {
	d := upload.DefaultConfig()
	return FilesConfig{MaxSize: int(d.MaxSize), MaxCount: d.MaxFiles, MaxBytes: int(d.MaxBytes), Age: d.Keep,
		FirmwareMaxSize: int(ota.DefaultConfig().MaxSize), FirmwareDeltas: artifact.DefaultConfig().Deltas}
}

func (c *FilesConfig) settings() []Setting {
	return []Setting{
		{Flag: "file-max-size", Usage: "largest file in bytes that a device may send", field: &c.MaxSize},
		{Flag: "file-max-count", Usage: "files a device", field: &c.MaxCount},
		{Flag: "file-max-bytes", Usage: "bytes of all files of a device", field: &c.MaxBytes},
		{Flag: "file-age", Usage: "how long files of devices are kept; 0 is for ever", field: &c.Age},
		{Flag: "firmware-max-size", Usage: "largest firmware in bytes", field: &c.FirmwareMaxSize},
		{Flag: "firmware-deltas", Usage: "from how many of the images that the most devices run the hub makes deltas to a signed release; 0 makes none", field: &c.FirmwareDeltas},
		{Flag: "firmware-plain-http", Usage: "let devices download firmware without TLS", field: &c.FirmwarePlainHTTP},
	}
}

func (c *FilesConfig) validate() error {
	for _, l := range []struct {
		flag     string
		v, least int
	}{{"file-max-size", c.MaxSize, 1}, {"file-max-count", c.MaxCount, 1}, {"file-max-bytes", c.MaxBytes, c.MaxSize}, {"firmware-max-size", c.FirmwareMaxSize, 1},
		{"firmware-deltas", c.FirmwareDeltas, 0}} {
		if l.v < l.least {
			return fmt.Errorf("--%s %d: must be at least %d", l.flag, l.v, l.least)
		}
	}
	if c.Age != 0 && c.Age < time.Hour {
		return fmt.Errorf("--file-age %v: must be 0 or at least 1h", c.Age)
	}
	return nil
}

// uploads is the share of files. A bus in this process has no other nodes: then the relay's patches may wait on this node's disk to become parts.
func (c *Config) uploads() upload.Config {
	u, f := upload.DefaultConfig(), &c.Files
	u.MaxSize, u.MaxFiles, u.MaxBytes, u.Keep = int64(f.MaxSize), f.MaxCount, int64(f.MaxBytes), f.Age
	if c.NATSURL == "" {
		u.StageDir = filepath.Join(c.Data, "uploads")
	}
	return u
}

// ota is the firmware updates' share of the configuration.
func (c *FilesConfig) ota() ota.Config {
	o := ota.DefaultConfig()
	o.MaxSize, o.AllowPlain = int64(c.FirmwareMaxSize), c.FirmwarePlainHTTP
	return o
}

// artifacts is the share of the repository of signed releases. Deltas are gathered beside the data: images may be larger than /tmp.
func (c *Config) artifacts() artifact.Config {
	a := artifact.DefaultConfig()
	a.MaxSize, a.Deltas, a.TempDir = int64(c.Files.FirmwareMaxSize), c.Files.FirmwareDeltas, c.Data
	return a
}
