package upload

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"time"
)

// ErrLink is returned for a URL of a part or of the relay that this hub has not made, or whose time is over: ask for another.
var ErrLink = errors.New("upload: the URL is not one for an upload, or has expired")

// ticket is what the URL of a part, or of the relay, holds: nothing is stored for it, and every node can read it.
type ticket struct {
	kind   byte
	file   int64
	part   uint32 // 0 for the relay
	until  uint32 // Unix seconds
	sha256 [32]byte
}

// The kinds of tickets; the letters are in URLs that are on their way.
const (
	partTicket  = 'p'
	relayTicket = 'y'
)

const (
	ticketHead    = 1 + 8 + 4 + 4 + 32
	ticketMAC     = 16
	ticketPurpose = "upload parts"
)

var ticket64 = base64.RawURLEncoding.Strict()

func (t *ticket) bytes() []byte {
	b := append(make([]byte, 0, ticketHead+ticketMAC), t.kind)
	b = binary.BigEndian.AppendUint64(b, uint64(t.file))
	b = binary.BigEndian.AppendUint32(b, t.part)
	b = binary.BigEndian.AppendUint32(b, t.until)
	return append(b, t.sha256[:]...)
}

// parseTicket reads the bytes of a ticket without its MAC.
func parseTicket(b []byte) (t ticket, ok bool) {
	if len(b) != ticketHead {
		return t, false
	}
	t = ticket{kind: b[0], file: int64(binary.BigEndian.Uint64(b[1:])), part: binary.BigEndian.Uint32(b[9:]), until: binary.BigEndian.Uint32(b[13:])}
	copy(t.sha256[:], b[17:])
	return t, t.kind == partTicket && t.part > 0 || t.kind == relayTicket && t.part == 0
}

func ticketSum(key [32]byte, head []byte) []byte {
	h := hmac.New(sha256.New, key[:])
	h.Write(head)
	return h.Sum(nil)[:ticketMAC]
}

// seal is the word for a ticket in a URL, of 87 characters.
func (u *Uploads) seal(t ticket) string {
	b := t.bytes()
	return ticket64.EncodeToString(append(b, ticketSum(u.Ring.Derive(ticketPurpose)[0], b)...))
}

// open reads what seal has made, of one kind.
func (u *Uploads) open(word string, kind byte) (ticket, error) {
	b, err := ticket64.DecodeString(word)
	if err != nil || len(b) != ticketHead+ticketMAC {
		return ticket{}, ErrLink
	}
	t, ok := parseTicket(b[:ticketHead])
	if !ok || t.kind != kind || u.now().After(time.Unix(int64(t.until), 0)) {
		return ticket{}, ErrLink
	}
	for _, key := range u.Ring.Derive(ticketPurpose) {
		if hmac.Equal(b[ticketHead:], ticketSum(key, b[:ticketHead])) {
			return t, nil
		}
	}
	return ticket{}, ErrLink
}
