package scenario

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hawser-iot/hawser/testbed/harness"
)

// TestStolenDatabase reads every row of every table of a hub's PostgreSQL, as whoever has stolen a dump would: no secret is in it, neither
// as text nor as bytes. (TestSecretsAreNowhere does so with the files of SQLite.)
func TestStolenDatabase(t *testing.T) {
	dsn := harness.Postgres(t)
	ring := filepath.Join(t.TempDir(), "keyring")
	hub := harness.StartHub(t, harness.HubOptions{Args: []string{"--store-dsn", dsn, "--keyring-file", ring, "--rule-allow-local"}})
	secrets := plantInDatabase(t, hub)
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	rows, err := conn.Query(t.Context(), `SELECT quote_ident(table_schema) || '.' || quote_ident(table_name) FROM information_schema.tables
		WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema')`)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	if len(tables) < 20 {
		t.Fatalf("there are only %v", tables)
	}
	n := 0
	for _, table := range tables {
		rows, err := conn.Query(t.Context(), `SELECT r::text FROM `+table+` r`)
		if err != nil {
			t.Fatal(err)
		}
		list, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		n += len(list)
		for _, row := range list {
			for name, secret := range secrets {
				if strings.Contains(row, secret) || strings.Contains(row, hex.EncodeToString([]byte(secret))) {
					t.Errorf("%s gives the %s away: %.300s", table, name, row)
				}
			}
		}
	}
	t.Logf("looked for %d secrets in %d rows of %d tables", len(secrets), n, len(tables))
	if n < 20 {
		t.Error("that cannot be all")
	}
}

// plantInDatabase has the hub keep secrets of every kind, and returns them.
func plantInDatabase(t *testing.T, hub *harness.Hub) map[string]string {
	t.Helper()
	secrets := map[string]string{"rule's header": "plantedHeader91", "URL's password": "plantedURL91", "user's password": "plantedPassword91"}
	call := func(method, path string, in, out any) {
		t.Helper()
		if err := hub.Call(method, path, in, out); err != nil {
			t.Fatal(err)
		}
	}
	var product struct{ ProductSN, ProductSecret string }
	call("POST", "/v1/products", map[string]any{"name": "p", "dynamicRegister": true}, &product)
	d := hub.Devices(product.ProductSN, 1)[0]
	secrets["product's secret"], secrets["device's secret"] = product.ProductSecret, d.DeviceSecret
	call("POST", "/v1/rules", map[string]any{"name": "r", "sql": `SELECT * FROM "/+/+/upload"`, "actions": []any{map[string]any{"kind": "http",
		"url": "http://u:" + secrets["URL's password"] + "@127.0.0.1:1/", "headers": map[string]string{"Authorization": "Bearer " + secrets["rule's header"]}}}}, nil)
	var key struct{ Key string }
	call("POST", "/v1/api-keys", map[string]any{"name": "k", "role": "viewer"}, &key)
	call("POST", "/v1/users", map[string]any{"login": "ada", "password": secrets["user's password"]}, nil)
	var session struct{ Token string }
	call("POST", "/v1/login", map[string]any{"login": "ada", "password": secrets["user's password"]}, &session)
	secrets["API key"], secrets["session"], secrets["owner's key"] = secretOf(key.Key), secretOf(session.Token), secretOf(hub.Key)
	var factor struct{ Secret string }
	ask(t, hub, "POST", "/v1/me/totp", session.Token, "application/json", `{"password":"`+secrets["user's password"]+`"}`, &factor)
	secrets["second factor"] = factor.Secret
	var issued struct{ PrivateKey string }
	call("POST", "/v1/products/"+d.ProductSN+"/devices/"+d.DeviceSN+"/certificates", map[string]any{}, &issued)
	secrets["private key"] = strings.Split(issued.PrivateKey, "\n")[1]

	// A kept answer, and a job's file and result.
	var named struct{ DeviceSecret string }
	ask(t, hub, "POST", "/v1/products/"+d.ProductSN+"/devices", hub.Key, "application/json", `{"deviceSN":"named-1"}`, &named, "Idempotency-Key", "once")
	secrets["secret in a kept answer"] = named.DeviceSecret
	var job struct{ ID, State string }
	ask(t, hub, "POST", "/v1/products/"+d.ProductSN+"/devices:import", hub.Key, "text/csv", "deviceSN,name\nfrom-file-1,plantedName91\n", &job)
	harness.Eventually(t, time.Minute, "the import is done", func() bool {
		call("GET", "/v1/jobs/"+job.ID, nil, &job)
		return job.State == "done"
	})
	var imported struct{ DeviceSecret string }
	call("GET", "/v1/products/"+d.ProductSN+"/devices/from-file-1", nil, &imported)
	secrets["secret in a job's result"] = imported.DeviceSecret
	for name, s := range secrets {
		if len(s) < 12 {
			t.Fatalf("%s %q is too short to be looked for", name, s)
		}
	}
	return secrets
}

// secretOf is the last part of <kind>_<id>_<secret>.
func secretOf(token string) string {
	parts := strings.SplitN(token, "_", 3)
	return parts[len(parts)-1]
}

// ask makes a request of the API as whoever has the token; head are names and values of more headers.
func ask(t *testing.T, hub *harness.Hub, method, path, token, kind, body string, out any, head ...string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+hub.HTTP+path, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", kind)
	for i := 0; i+1 < len(head); i += 2 {
		req.Header.Set(head[i], head[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode/100 != 2 {
		err = fmt.Errorf("%s: %s", res.Status, b)
	}
	if err == nil {
		err = json.Unmarshal(b, out)
	}
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
}
