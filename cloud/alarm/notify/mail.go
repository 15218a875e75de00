package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net"
	netmail "net/mail"
	"net/smtp"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"github.com/hawser-iot/hawser/cloud/alarm"
	"github.com/hawser-iot/hawser/cloud/rules"
)

// mailbox is a mail server, and whom it is to bring messages to.
type mailbox struct {
	Host     string   `json:"host"`
	Port     int      `json:"port"`          // 587, or 465 with tls "implicit", when nothing is said
	TLS      string   `json:"tls,omitempty"` // starttls (the default), implicit or none
	CA       string   `json:"ca,omitempty"`  // PEM, where the server's certificate is of no public CA
	User     string   `json:"user,omitempty"`
	Password string   `json:"password,omitempty"`
	From     string   `json:"from"`
	To       []string `json:"to"`

	out   rules.Outbound
	roots *x509.CertPool
}

// mail sends by SMTP. Without TLS no password is sent.
func mail(out rules.Outbound) func([]byte) (alarm.Sender, error) {
	return func(config []byte) (alarm.Sender, error) {
		b := mailbox{out: out, TLS: "starttls"}
		if err := read(config, &b); err != nil {
			return nil, err
		}
		if b.Port == 0 {
			b.Port = map[string]int{"implicit": 465}[b.TLS]
		}
		if b.Port == 0 {
			b.Port = 587
		}
		return &b, b.check()
	}
}

func (b *mailbox) check() error {
	switch {
	case b.Host == "" || strings.ContainsAny(b.Host, "/ \r\n"):
		return errors.New("host: is missing, or no host")
	case b.Port < 1 || b.Port > 65535:
		return errors.New("port: must be 1 to 65535")
	case b.TLS != "starttls" && b.TLS != "implicit" && b.TLS != "none":
		return errors.New("tls: must be starttls, implicit or none")
	case b.TLS == "none" && b.Password != "":
		return errors.New("tls: without it no password is sent")
	case len(b.To) == 0 || len(b.To) > 50:
		return errors.New("to: must be 1 to 50 addresses")
	}
	for _, a := range append([]string{b.From}, b.To...) {
		if p, err := netmail.ParseAddress(a); err != nil || p.Address != a {
			return fmt.Errorf("%q: %w", a, errAddress)
		}
	}
	if b.CA != "" {
		if b.roots = x509.NewCertPool(); !b.roots.AppendCertsFromPEM([]byte(b.CA)) {
			return errors.New("ca: has no certificate in PEM")
		}
	}
	if b.out.CheckHost != nil {
		return b.out.CheckHost(b.Host)
	}
	return nil
}

// Send implements alarm.Sender.
func (b *mailbox) Send(ctx context.Context, m alarm.Message) error {
	raw, err := b.out.Dial(ctx, "tcp", net.JoinHostPort(b.Host, strconv.Itoa(b.Port)))
	if err != nil {
		return err
	}
	defer func() { _ = raw.Close() }() // after Quit there is nothing to lose
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	defer stop()
	if d, ok := ctx.Deadline(); ok {
		if err := raw.SetDeadline(d); err != nil {
			return err
		}
	}
	config := &tls.Config{ServerName: b.Host, RootCAs: b.roots, MinVersion: tls.VersionTLS12}
	conn := raw
	if b.TLS == "implicit" {
		conn = tls.Client(raw, config)
	}
	c, err := smtp.NewClient(conn, b.Host)
	if err != nil {
		return fmt.Errorf("the mail server did not greet: %w", err)
	}
	if b.TLS == "starttls" {
		if err := c.StartTLS(config); err != nil {
			return fmt.Errorf("STARTTLS: %w", err)
		}
	}
	if b.User != "" || b.Password != "" {
		if err := c.Auth(b.auth(c)); err != nil {
			return fmt.Errorf("log in at the mail server: %w", err)
		}
	}
	return b.transfer(c, &m)
}

// auth is the way to log in that the server knows.
func (b *mailbox) auth(c *smtp.Client) smtp.Auth {
	if _, ways := c.Extension("AUTH"); strings.Contains(ways, "PLAIN") || !strings.Contains(ways, "LOGIN") {
		return smtp.PlainAuth("", b.User, b.Password, b.Host)
	}
	return &login{b.User, b.Password}
}

// login is AUTH LOGIN, which some servers know alone.
type login struct{ user, password string }

func (l *login) Start(s *smtp.ServerInfo) (string, []byte, error) {
	if !s.TLS {
		return "", nil, errors.New("no TLS: the password is not sent")
	}
	return "LOGIN", nil, nil
}

func (l *login) Next(ask []byte, more bool) ([]byte, error) {
	if !more {
		return nil, nil
	}
	if strings.HasPrefix(strings.ToLower(string(ask)), "user") {
		return []byte(l.user), nil
	}
	return []byte(l.password), nil
}

func (b *mailbox) transfer(c *smtp.Client, m *alarm.Message) error {
	if err := c.Mail(b.From); err != nil {
		return fmt.Errorf("the mail server refuses the sender: %w", err)
	}
	if err := b.recipients(c, m.Test); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(b.letter(m)); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("the mail server refuses the message: %w", err)
	}
	_ = c.Quit() // it has taken the message
	return nil
}

// recipients names those to whom the message goes. One that the server knows nothing of, for good, does not keep it from the others; a test tells of it.
func (b *mailbox) recipients(c *smtp.Client, test bool) error {
	var refused error
	taken := 0
	for _, to := range b.To {
		err := c.Rcpt(to)
		if err == nil {
			taken++
			continue
		}
		refused = fmt.Errorf("the mail server refuses %s: %w", to, err)
		if e, ok := errors.AsType[*textproto.Error](err); test || !ok || e.Code < 500 {
			return refused
		}
	}
	if taken == 0 {
		return refused
	}
	return nil
}

// letter is the mail as it is sent.
func (b *mailbox) letter(m *alarm.Message) []byte {
	var out bytes.Buffer
	subject := strings.Join(strings.Fields(m.Title()), " ") // no line breaks in a header
	if len(subject) > 200 {
		subject = strings.ToValidUTF8(subject[:200], "") + "…"
	}
	_, domain, _ := strings.Cut(b.From, "@")
	fmt.Fprintf(&out, "From: %s\r\nTo: %s\r\nSubject: %s\r\nDate: %s\r\nMessage-ID: <%d.%d@%s>\r\n", b.From, strings.Join(b.To, ",\r\n "),
		mime.QEncoding.Encode("utf-8", subject), m.At.Format(time.RFC1123Z), m.ID, m.At.UnixMilli(), domain)
	if m.Severity() == alarm.Critical {
		out.WriteString("X-Priority: 1\r\n")
	}
	out.WriteString("Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n")
	q := quotedprintable.NewWriter(&out)
	_, _ = q.Write([]byte(strings.ReplaceAll(m.Body(), "\n", "\r\n"))) // a buffer takes everything
	_ = q.Close()
	return out.Bytes()
}
