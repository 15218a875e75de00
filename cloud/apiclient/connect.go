package apiclient

import (
	"context"
	"net/http"
)

// Connect returns a client of the hub at base ("https://hub.example:8443") that sends apiKey with every request. A
// nil doer is http.DefaultClient. It opens no connection yet.
func Connect(base, apiKey string, doer HttpRequestDoer) (*Client, error) {
	opts := []ClientOption{WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+apiKey)
		return nil
	})}
	if doer != nil {
		opts = append(opts, WithHTTPClient(doer))
	}
	return NewClient(base, opts...)
}
