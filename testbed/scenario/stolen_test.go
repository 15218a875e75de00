package scenario

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"database/sql"
	"encoding/hex"
	"encoding/pem"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hawser-iot/hawser/cloud/keyring"
	"github.com/hawser-iot/hawser/testbed/harness"
)

// TestStolenDataFolder takes a hub's data folder and not its keyring: no key of a CA is in it, neither of the one that has signed the
// hub's certificate nor of those that sign devices', and no hub starts on it. A key that lay in clear is sealed at the next start.
func TestStolenDataFolder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keyring")
	hub := harness.StartHub(t, harness.HubOptions{Args: []string{"--keyring-file", file}})
	d := hub.Devices(hub.Product(map[string]any{"name": "lock"}), 1)[0]
	issue := func() {
		t.Helper()
		if err := hub.Call("POST", "/v1/products/"+d.ProductSN+"/devices/"+d.DeviceSN+"/certificates", map[string]any{}, nil); err != nil {
			t.Fatal(err)
		}
	}
	issue()
	if err := hub.Call("POST", "/v1/cas", nil, nil); err != nil {
		t.Fatal(err)
	}
	issue()
	ring, err := keyring.Load(file, "")
	if err != nil {
		t.Fatal(err)
	}
	keys := append(deviceCAKeys(t, hub.Data, ring), hubCAKey(t, hub.Data, ring))
	if len(keys) != 3 {
		t.Fatalf("there are %d keys of CAs, want 3", len(keys))
	}
	noKeys(t, hub.Data, keys)
	hub.Kill()
	noKeys(t, hub.Data, keys)

	// As an earlier version left it.
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keys[2]})
	if err := os.WriteFile(filepath.Join(hub.Data, "tls", "ca-key.pem"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	hub.Start()
	if !strings.Contains(hub.Log(), "the key of the hub's own CA is sealed now") {
		t.Error("the hub says nothing of a key that lay in clear")
	}
	if got := hubCAKey(t, hub.Data, ring); !bytes.Equal(got, keys[2]) {
		t.Error("it is another key now")
	}
	noKeys(t, hub.Data, keys)
	hub.Kill()

	out, err := exec.Command(harness.Binary(t, "hub"), "serve", "--data", hub.Data, "--keyring-file", file+"-of-a-thief", "--mqtt-addr", "off", "--mqtts-addr", "off",
		"--http-addr", "off", "--https-addr", "off").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "keyring") {
		t.Errorf("a hub with a keyring of its own on a stolen folder: %v\n%s", err, out)
	}
	hub.Start() // with the right one it is as before
	issue()
}

// hubCAKey opens DATA/tls/ca-key.pem in the way that docs/security.md has, and returns the key in PKCS #8.
func hubCAKey(t *testing.T, data string, ring *keyring.Keyring) []byte {
	t.Helper()
	block := func(name string) *pem.Block {
		b, err := os.ReadFile(filepath.Join(data, "tls", name))
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(b)
		if block == nil {
			t.Fatalf("%s is no PEM", name)
		}
		return block
	}
	sum := sha256.Sum256(block("ca.pem").Bytes)
	sealed := block("ca-key.pem")
	if sealed.Type != "HAWSER SEALED KEY" {
		t.Fatalf("the CA's key is a %s", sealed.Type)
	}
	der, err := ring.Open(sealed.Bytes, "tls ca key:"+hex.EncodeToString(sum[:]))
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// deviceCAKeys opens the keys of the CAs for devices in the data file.
func deviceCAKeys(t *testing.T, data string, ring *keyring.Keyring) (keys [][]byte) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(data, "hawser.db")+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	rows, err := db.Query(`SELECT id, key FROM authority WHERE length(key) > 0`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id string
		var sealed []byte
		if err := rows.Scan(&id, &sealed); err != nil {
			t.Fatal(err)
		}
		der, err := ring.Open(sealed, "authority.key:"+id)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, der)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return keys
}

// noKeys fails the test when a file below data holds one of the keys: its number, in whatever it is wrapped, bare or in PEM.
func noKeys(t *testing.T, data string, keys [][]byte) {
	t.Helper()
	var numbers [][]byte
	for _, der := range keys {
		parsed, err := x509.ParsePKCS8PrivateKey(der)
		if err != nil {
			t.Fatal(err)
		}
		number, err := parsed.(*ecdsa.PrivateKey).Bytes()
		if err != nil {
			t.Fatal(err)
		}
		numbers = append(numbers, number)
	}
	files := 0
	err := filepath.WalkDir(data, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
			b = append(b, block.Bytes...)
		}
		for _, number := range numbers {
			if bytes.Contains(b, number) || bytes.Contains(b, []byte(hex.EncodeToString(number))) {
				t.Errorf("%s gives the key of a CA away", path)
			}
		}
		return nil
	})
	if err != nil || files < 4 {
		t.Errorf("looked at %d files: %v", files, err)
	}
}
