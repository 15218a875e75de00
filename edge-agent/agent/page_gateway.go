//go:build !core

package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/edge-agent/ota"
)

// page is the status of the agent for a browser on the local network: read only, without secrets, and without anything from elsewhere.
type page struct {
	a  *Agent
	ln net.Listener
}

// openPage listens where the configuration says; nil when it says nothing.
func (a *Agent) openPage() (*page, error) {
	if a.cfg.Page == "" {
		return nil, nil
	}
	ln, err := net.Listen("tcp", a.cfg.Page)
	if err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	return &page{a, ln}, nil
}

// Close gives the listener up when Run was never called.
func (p *page) Close() error { return p.ln.Close() }

// Run serves until ctx ends.
func (p *page) Run(ctx context.Context) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.html)
	mux.HandleFunc("GET /status.json", p.json)
	s := &http.Server{
		Handler: guarded(mux), ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 8 << 10,
	}
	stop := context.AfterFunc(ctx, func() { _ = s.Close() }) // nothing in hand matters
	defer stop()
	if err := s.Serve(p.ln); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("page: %w", err)
	}
	return nil
}

// guarded answers those only who call the gateway by an address or as localhost: a page of somebody else, whose name was made to point here, gets nothing.
func guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if net.ParseIP(strings.Trim(host, "[]")) == nil && host != "localhost" {
			http.Error(w, "call this page by the gateway's address", http.StatusForbidden)
			return
		}
		for name, value := range map[string]string{
			"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store",
		} {
			w.Header().Set(name, value)
		}
		next.ServeHTTP(w, r)
	})
}

func (p *page) json(w http.ResponseWriter, r *http.Request) {
	s, err := p.a.Status(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(s) // the reader may have gone
}

const pageHead = `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta http-equiv="refresh" content="10">
<title>Hawser agent</title><style>body{font:16px system-ui,sans-serif;margin:2em auto;max-width:50em;padding:0 1em}table{border-collapse:collapse;width:100%}
th{text-align:left;vertical-align:top;padding:.3em 1em .3em 0;white-space:nowrap}td{padding:.3em 0}.ok{color:#186a3b}.bad{color:#a61b1b}pre{overflow:auto;font-size:13px;background:#f4f4f4;color:#222;padding:1em}
@media(prefers-color-scheme:dark){body{background:#111;color:#eee}pre{background:#222;color:#ddd}.ok{color:#6fcf97}.bad{color:#ff8a80}}</style>
`

func (p *page) html(w http.ResponseWriter, r *http.Request) {
	s, err := p.a.Status(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	var b bytes.Buffer
	b.WriteString(pageHead)
	fmt.Fprintf(&b, "<h1>%s</h1><table>", html.EscapeString(s.Device))
	row := func(class, name, format string, args ...any) {
		fmt.Fprintf(&b, "<tr><th>%s<td class=%q>%s", name, class, html.EscapeString(fmt.Sprintf(format, args...)))
	}
	if s.Link.Connected && s.Link.Since != nil {
		row("ok", "Hub", "connected for %v", s.Time.Sub(*s.Link.Since).Round(time.Second))
	} else {
		row("bad", "Hub", "not connected: %s", s.Link.Failure)
	}
	row("", "Address", "%s", s.Hub)
	row("", "Messages", "%d sent, %d in flight, %d received", s.Link.Sent, s.Link.InFlight, s.Link.Received)
	for _, st := range s.Streams {
		class := "ok"
		if st.Dropped > 0 || st.Failed > 0 {
			class = "bad"
		}
		row(class, "Buffer", "%s: %d waiting (%d bytes), %d dropped, %d refused, %d failed", st.Name, st.Waiting, st.Bytes, st.Dropped, st.Refused, st.Failed)
	}
	row("", "Sub-devices", "%d connected of %d", s.Subdevices.Connected, s.Subdevices.Configured)
	if f := s.Firmware; f != nil && f.Boot != nil {
		row("", "Firmware", "slot %s", f.Boot.Slot)
		if u := f.Update; u != nil {
			what := "Update"
			if u.Rollback {
				what = "Rollback"
			}
			row("", what, "%s %s: %s %s", u.Module, u.Version, u.Phase, u.Class)
		}
	}
	for _, d := range s.SubdeviceFirmware {
		if class, text := subdeviceRow(d); text != "" {
			row(class, "Firmware of "+html.EscapeString(d.Device), "%s", text)
		}
	}
	row("", "Agent", "%s %s, up %v, %.1f MiB", s.Version, s.Variant, s.Time.Sub(s.Started).Round(time.Second), float64(s.Memory.Resident)/(1<<20))
	b.WriteString("</table>")
	if p.a.Journal != nil {
		b.WriteString("<h2>Log</h2><pre>")
		for _, l := range p.a.Journal.After(0, 30) {
			b.WriteString(html.EscapeString(l.Text) + "\n")
		}
		b.WriteString("</pre>")
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(b.Bytes()) // the reader may have gone
}

// subdeviceRow is what is to be told of a sub-device's firmware: an update that goes on, or how the last one has ended.
func subdeviceRow(d ota.Subdevice) (class, text string) {
	switch u, l := d.Update, d.Last; {
	case u != nil && d.Handing != "":
		return "", fmt.Sprintf("%s %s: handed over, %s", u.Module, u.Version, d.Handing)
	case u != nil:
		return "", strings.TrimSpace(fmt.Sprintf("%s %s: %s %s %s", u.Module, u.Version, u.Phase, u.State, u.Class))
	case l != nil && l.Class != "":
		return "bad", fmt.Sprintf("%s %s: %s %s", l.Module, l.Version, l.State, l.Class)
	case l != nil:
		return "ok", fmt.Sprintf("%s %s: %s", l.Module, l.Version, l.State)
	}
	return "", ""
}
