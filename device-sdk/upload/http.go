package upload

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hawser-iot/hawser/protocol/codec"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
	"github.com/hawser-iot/hawser/protocol/message"
)

// HTTP asks the hub over HTTP, with a token that it gets with the device's secret.
type HTTP struct {
	base   string
	id     ident.Device
	secret credential.Secret
	client *http.Client

	// mu guards token.
	mu    sync.Mutex
	token string
}

var _ Hub = (*HTTP)(nil)

// NewHTTP returns a Hub at a base URL such as https://hub.example; client nil is http.DefaultClient.
func NewHTTP(base string, id ident.Device, secret credential.Secret, client *http.Client) *HTTP {
	if client == nil {
		client = http.DefaultClient
	}
	return &HTTP{base: strings.TrimSuffix(base, "/"), id: id, secret: secret, client: client}
}

const (
	maxAnswer = 256 << 10
	askTime   = 30 * time.Second
)

// Ask implements Hub.
func (h *HTTP) Ask(ctx context.Context, r message.UploadRequest) (a message.UploadReply, err error) {
	body, err := codec.Marshal(codec.JSON, r)
	if err != nil {
		return a, fmt.Errorf("upload: %w", err)
	}
	for fresh := false; ; fresh = true {
		token, err := h.login(ctx, fresh)
		if err != nil {
			return a, err
		}
		a = message.UploadReply{}
		if err := h.post(ctx, "/upload", map[string]string{"Password": token}, body, &a); err != nil {
			return a, err
		}
		if fresh || a.RetCode != message.CodeBadToken && a.RetCode != message.CodeTokenExpired {
			return a, nil
		}
	}
}

// login is the token, a new one when fresh is set.
func (h *HTTP) login(ctx context.Context, fresh bool) (string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.token != "" && !fresh {
		return h.token, nil
	}
	body, err := codec.Marshal(codec.JSON, struct{ ProductSN, DeviceSN, Timestamp string }{h.id.Product, h.id.SN, strconv.FormatInt(time.Now().UnixMilli(), 10)})
	if err != nil {
		return "", fmt.Errorf("upload: %w", err)
	}
	var a struct {
		RetCode        message.Code
		Message, Token string
	}
	if err := h.post(ctx, "/auth", map[string]string{"Authorization": credential.SignBody(h.secret, body)}, body, &a); err != nil {
		return "", err
	}
	if a.RetCode != message.CodeOK || a.Token == "" {
		return "", &RefusedError{a.RetCode, a.Message}
	}
	h.token = a.Token
	return a.Token, nil
}

func (h *HTTP) post(ctx context.Context, path string, header map[string]string, body []byte, into any) (err error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.base+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("upload: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	for name, v := range header {
		req.Header.Set(name, v)
	}
	resp, err := h.client.Do(req)
	if err != nil {
		return fmt.Errorf("upload: %w", bare(err))
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("upload: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("upload: the hub answers %s with status %d", path, resp.StatusCode)
	}
	if err := codec.Unmarshal(b, into); err != nil {
		return fmt.Errorf("upload: answer to %s: %w", path, err)
	}
	return nil
}

// bare is the error of a request without its URL, by which anybody could send in the device's name: errors end up in logs.
func bare(err error) error {
	if u := (*url.Error)(nil); errors.As(err, &u) {
		return fmt.Errorf("%s: %w", u.Op, u.Err)
	}
	return err
}
