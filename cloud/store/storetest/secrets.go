package storetest

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/hawser-iot/hawser/testbed/harness"
)

// PostgresDSN returns the DSN of an empty database on PostgreSQL.
func PostgresDSN(t testing.TB) string {
	t.Helper()
	return harness.Postgres(t)
}

// NoSecrets fails the test when one of secrets lies in a file below dir, the log of SQLite included.
func NoSecrets(t testing.TB, dir string, secrets ...string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		for _, s := range secrets {
			if s == "" {
				t.Errorf("an empty secret cannot be looked for")
			} else if bytes.Contains(b, []byte(s)) {
				t.Errorf("%s holds the secret %q", path, s)
			}
		}
		return nil
	})
	if err != nil || files == 0 {
		t.Errorf("looked at %d files in %s: %v", files, dir, err)
	}
}
