package shadowsync

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/hawser-iot/hawser/protocol/ident"
)

// The local face. On MQTT a program publishes to local/shadow/P/D/get, …/desired and …/reported (an object of keys, null deletes one), and
// hears the whole document on …/document: when it asks and after every change. Over HTTP it is GET and PATCH of /shadow/P/D, the latter with
// {"desired":{…},"reported":{…}}.
const localPrefix = "local/shadow/"

func localTopic(d ident.Device, what string) string {
	return localPrefix + d.Product + "/" + d.SN + "/" + what
}

// Local does what a program asks for; topics of others pass.
func (s *Syncer) Local(name string, payload []byte, qos byte, done func(error)) {
	rest, ok := strings.CutPrefix(name, localPrefix)
	if !ok {
		s.Up.Local(name, payload, qos, done)
		return
	}
	part := strings.Split(rest, "/")
	if len(part) != 3 {
		done(ErrNone)
		return
	}
	d := ident.Device{Product: part[0], SN: part[1]}
	if !s.behind(d) {
		done(ErrNone)
		return
	}
	var err error
	switch part[2] {
	case "get":
		s.down.Publish(localTopic(d, "document"), s.document(d), qos)
	case "desired":
		_, err = s.Update(d, payload, nil)
	case "reported":
		_, err = s.Update(d, nil, payload)
	default:
		err = ErrNone
	}
	done(err)
}

func (s *Syncer) document(d ident.Device) []byte {
	b, _ := s.Document(d)
	return b
}

// behind tells whether the device is one whose shadow is kept: programs make none of strangers.
func (s *Syncer) behind(d ident.Device) bool {
	return s.keeps(d) && (d == s.cfg.Own || d.Check() == nil && s.down.Carries(d))
}

// maxPatch bounds the body of a PATCH: a document is no larger.
const maxPatch = 64 << 10

// ServeHTTP serves /shadow/PRODUCT/DEVICE. Who may ask has been judged.
func (s *Syncer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	part := strings.Split(strings.TrimPrefix(r.URL.Path, "/"), "/")
	d := ident.Device{}
	if len(part) == 3 && part[0] == "shadow" {
		d = ident.Device{Product: part[1], SN: part[2]}
	}
	if d.SN == "" || !s.behind(d) {
		answer(w, http.StatusNotFound, ErrNone)
		return
	}
	switch r.Method {
	case http.MethodGet:
	case http.MethodPatch:
		if status, err := s.patch(d, r); err != nil {
			answer(w, status, err)
			return
		}
	default:
		w.Header().Set("Allow", "GET, PATCH")
		answer(w, http.StatusMethodNotAllowed, errors.New("want GET or PATCH"))
		return
	}
	write(w, http.StatusOK, s.document(d))
}

func (s *Syncer) patch(d ident.Device, r *http.Request) (status int, err error) {
	var p struct {
		Desired, Reported json.RawMessage
	}
	b, err := io.ReadAll(io.LimitReader(r.Body, maxPatch+1))
	switch {
	case err != nil:
		return http.StatusBadRequest, err
	case len(b) > maxPatch:
		return http.StatusRequestEntityTooLarge, errors.New("the body is too long")
	}
	if err := json.Unmarshal(b, &p); err != nil {
		return http.StatusBadRequest, err
	}
	switch _, err = s.Update(d, p.Desired, p.Reported); {
	case errors.Is(err, ErrRefused):
		return http.StatusUnprocessableEntity, err
	case err != nil:
		return http.StatusServiceUnavailable, err
	}
	return http.StatusOK, nil
}

func answer(w http.ResponseWriter, status int, err error) {
	b, _ := json.Marshal(map[string]string{"error": err.Error()}) // a map of strings
	write(w, status, b)
}

func write(w http.ResponseWriter, status int, b []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(status)
	_, _ = w.Write(b) // whoever asked may have gone
}
