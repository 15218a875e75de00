package sqlrow

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/rules"
	"github.com/hawser-iot/hawser/cloud/rules/clienttls"
)

// How long a connection is kept that nobody uses, and at the most.
const (
	IdleTime = time.Minute
	LifeTime = 30 * time.Minute
)

const maxConns = 64

// Server is a connector's configuration: the server that the rows go to.
type Server struct {
	Host     string `json:"host"`
	Port     int    `json:"port,omitempty"` // 0: the usual one of the kind
	Database string `json:"database"`
	User     string `json:"user"`
	Password string `json:"password,omitempty"`
	// MaxConnections bounds the connections that are open at a time; 0: as many as are good for the kind.
	MaxConnections int `json:"maxConnections,omitempty"`

	clienttls.Config
}

// Connector is a kind of connector whose configuration is a Server; open gets one that is complete.
func Connector(port, conns int, open func(s *Server, out rules.Outbound) (rules.Connection, error)) rules.ConnectorKind {
	return rules.ConnectorKind{Secrets: append([]string{"password"}, clienttls.Secrets()...), Address: []string{"host", "port"},
		Open: func(config json.RawMessage, out rules.Outbound) (rules.Connection, error) {
			var s Server
			dec := json.NewDecoder(bytes.NewReader(config))
			dec.DisallowUnknownFields()
			if err := dec.Decode(&s); err != nil {
				return nil, fmt.Errorf("cannot be read: %w", err)
			}
			if err := s.check(out); err != nil {
				return nil, err
			}
			if s.Port == 0 {
				s.Port = port
			}
			if s.MaxConnections == 0 {
				s.MaxConnections = conns
			}
			return open(&s, out)
		}}
}

// check says which member is wrong.
func (s *Server) check(out rules.Outbound) error {
	switch {
	case s.Host == "" || strings.ContainsAny(s.Host, "/:@, ") && net.ParseIP(s.Host) == nil:
		return errors.New("host is no name or address of a server")
	case s.Port < 0 || s.Port > 65535:
		return errors.New("port must be between 1 and 65535")
	case s.Database == "":
		return errors.New("database is missing")
	case s.User == "":
		return errors.New("user is missing")
	case strings.ContainsRune(s.Database+s.User+s.Password, 0):
		return errors.New("database, user and password have no NUL")
	case s.MaxConnections < 0 || s.MaxConnections > maxConns:
		return fmt.Errorf("maxConnections must be between 1 and %d", maxConns)
	}
	if err := out.CheckHost(s.Host); err != nil {
		return fmt.Errorf("host: %w", err)
	}
	return nil
}
