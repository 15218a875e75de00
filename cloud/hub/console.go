package hub

import (
	"context"
	"net"

	"github.com/hawser-iot/hawser/cloud/console"
)

// consoleState is what the console's pages know before anybody has logged in.
func (h *Hub) consoleState(ctx context.Context) (console.State, error) {
	users, err := h.accounts.Users(ctx, "", 1)
	if err != nil {
		return console.State{}, err
	}
	s := console.State{SetUp: len(users) == 0, OIDC: h.cfg.OIDCIssuer != "", Version: h.version}
	if h.doors.https != nil {
		if tcp, ok := h.doors.https.Addr().(*net.TCPAddr); ok {
			s.HTTPS = tcp.Port
		}
	}
	return s, nil
}

// consoleURL is where the console is, for people at this machine's own browser; "" when the API has no common address.
func (h *Hub) consoleURL() string {
	switch {
	case !h.doors.common(faceAPI):
		return ""
	case h.doors.https != nil:
		return "https://" + reachable(h.doors.https.Addr(), h.cfg.TLSHosts) + console.Base
	case h.doors.http != nil:
		return "http://" + reachable(h.doors.http.Addr(), h.cfg.TLSHosts) + console.Base
	}
	return ""
}
