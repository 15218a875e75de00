package scenario

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hawser-iot/hawser/testbed/harness"
)

// httpTarget is a program that takes POSTs as a careful user's would: it writes down what it has not had yet, by the Idempotency-Key or, in
// batches, by the messages' ids, and answers after that.
type httpTarget struct {
	*harness.Process
	batch int
	addr  string
	file  string
}

func (h *httpTarget) Start(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	h.addr, h.file = harness.FreeAddr(t), filepath.Join(t.TempDir(), "rows")
	h.Process = harness.StartProcess(t, harness.Command{Path: self, Env: []string{receiverAddr + "=" + h.addr, receiverFile + "=" + h.file}, Ready: harness.ReadyAt(h.addr)})
	return h.addr
}

func (h *httpTarget) Action(_ *testing.T, _ *harness.Hub, addr string) map[string]any {
	a := map[string]any{"kind": "http", "url": "http://" + addr, "timeoutSeconds": 2}
	if h.batch > 0 {
		a["batchSize"] = h.batch
	}
	return a
}

func (h *httpTarget) Rows(t *testing.T) map[string][]int {
	t.Helper()
	b, err := os.ReadFile(h.file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	rows := map[string][]int{}
	for line := range strings.Lines(string(b)) {
		var (
			id, device string
			n          int
		)
		if _, err := fmt.Sscan(line, &id, &device, &n); err != nil || !strings.HasSuffix(line, "\n") {
			continue // it is being written
		}
		rows[device] = append(rows[device], n)
	}
	return rows
}

// Fail makes it refuse two requests of three.
func (h *httpTarget) Fail(t *testing.T, on bool) {
	t.Helper()
	resp, err := http.Post("http://"+h.addr+"/fail?on="+fmt.Sprint(on), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
}

// The program itself is this test binary with these in its environment.
const receiverAddr, receiverFile = "HAWSER_TEST_RECEIVER", "HAWSER_TEST_RECEIVER_FILE"

// receiver is the program behind httpTarget.
type receiver struct {
	failing atomic.Bool
	turn    atomic.Int64

	mu   sync.Mutex // guards the fields below
	seen map[string]bool
	file *os.File
}

// runReceiver serves until it is killed.
func runReceiver(addr, path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	b, err := io.ReadAll(f)
	if err != nil {
		return err
	}
	b = b[:bytes.LastIndexByte(b, '\n')+1] // what a kill has torn was not answered
	if err := f.Truncate(int64(len(b))); err != nil {
		return err
	}
	r := &receiver{seen: map[string]bool{}, file: f}
	for line := range bytes.Lines(b) {
		id, _, _ := bytes.Cut(line, []byte(" "))
		r.seen[string(id)] = true
	}
	http.HandleFunc("/fail", func(_ http.ResponseWriter, req *http.Request) { r.failing.Store(req.FormValue("on") == "true") })
	http.HandleFunc("/", r.take)
	return http.ListenAndServe(addr, nil)
}

func (r *receiver) take(w http.ResponseWriter, req *http.Request) {
	if r.failing.Load() {
		if turn := r.turn.Add(1) % 3; turn > 0 {
			w.WriteHeader([]int{0, http.StatusServiceUnavailable, http.StatusInternalServerError}[turn])
			return
		}
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	single := len(body) > 0 && body[0] != '['
	if single {
		body = []byte("[" + string(body) + "]")
	}
	var rows []struct {
		ID, Device string
		N          int
	}
	if err := json.Unmarshal(body, &rows); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if key := req.Header.Get("Idempotency-Key"); single {
		if key == "" || req.Header.Get("Hawser-Message-Ids") != rows[0].ID {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		rows[0].ID = key
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var b []byte
	for _, row := range rows {
		if !r.seen[row.ID] {
			r.seen[row.ID] = true
			b = fmt.Appendf(b, "%s %s %d\n", row.ID, row.Device, row.N)
		}
	}
	if _, err := r.file.Write(b); err != nil {
		w.WriteHeader(http.StatusInternalServerError)
	}
}
