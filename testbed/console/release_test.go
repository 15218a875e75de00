package console

import (
	"bytes"
	"encoding/json"
	"net/http"

	"github.com/hawser-iot/hawser/cloud/ota/artifact/artifacttest"
	"github.com/hawser-iot/hawser/firmware/signing"
)

// releaseHandlers are: release answers a root document, a release that it lets in with its image, and one that it does not, as files in base64. The
// hub's director key comes in the body.
func (w *world) releaseHandlers(mux *http.ServeMux) {
	mux.HandleFunc("POST /release", func(rw http.ResponseWriter, r *http.Request) {
		var in struct{ PublicKey string }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			http.Error(rw, err.Error(), http.StatusBadRequest)
			return
		}
		key, err := signing.ParsePublicKey([]byte(in.PublicKey))
		if err != nil {
			http.Error(rw, err.Error(), http.StatusBadRequest)
			return
		}
		maker := artifacttest.New(w.t)
		root := maker.NextRoot(w.t, key)
		image := bytes.Repeat([]byte("signed image "), 20_000)
		suit := maker.Envelope(w.t, 3, artifacttest.Image{Module: "default", Version: "3.0", Data: image})
		foreign := artifacttest.New(w.t).Envelope(w.t, 4, artifacttest.Image{Module: "default", Version: "4.0", Data: image})
		_ = json.NewEncoder(rw).Encode(map[string][]byte{"root": root, "suit": suit, "image": image, "foreign": foreign})
	})
}
